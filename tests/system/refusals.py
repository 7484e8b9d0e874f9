"""One refusal of each kind, brought about as it happens in life, and what its audit record has to say of it.

`found` and `expected` are parts of the words of the failed check: they name the true cause, also where the answer to
the caller does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from omnilab.crypto.client_secret import new_client_secret
from omnilab.tenancy.model.orders import ClientChange, NewAudience
from tests.harness import bearer
from tests.system.rivals import END, EVERY_GRANT, START
from tests.tokens.running import ACTOR, ISSUER, MASTER_KEY, Running, basic

FETCH, CANCEL = "/v1/interactions:fetchContactBookings", "/v1/interactions:cancelContactBooking"
CREATE = "/v1/interactions:createContactBooking"


def settings_of(folder: Path) -> dict[str, str]:
    """How commands find what `tests.tokens.running` has made in this folder."""
    return {
        "environment": "staging",
        "database_url": f"sqlite:///{folder}/omnilab.db",
        "master_key": MASTER_KEY.reveal(),
        "public_url": ISSUER,
        "tenant_domain": "example.com",
    }


@dataclass
class Office:
    """A running platform with the tenants `acme` and `other`, and clients made for each case."""

    it: Running
    client: dict[str, Any]
    other: dict[str, Any]

    async def client_with(self, **order: Any) -> dict[str, Any]:
        """One more client of acme."""
        return await self.it.add_client("acme", **({"allow": EVERY_GRANT} | order))

    async def token(self, client: dict[str, Any] | None = None, **changes: Any) -> str:
        token: str = (await self.it.ask(client or self.client, **changes)).json()["access_token"]
        return token

    async def fetch(self, token: str, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
        query = {"external_id": "contact-1"} | query
        return await self.it.http.get(FETCH, params=query, headers=bearer(token) | (headers or {}))

    async def write(self, call: str, token: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.it.http.post(call, json=body, headers=bearer(token) | headers)


Ask = Callable[[Office], Awaitable[httpx.Response]]


class Refusal(NamedTuple):
    """What brings it about, and the code, failed check, cause and expectation its record has to name."""

    ask: Ask
    code: str
    check: str
    found: str
    expected: str
    proved: bool = True


def booking(number: int, **members: Any) -> dict[str, Any]:
    return {
        "external_id": "contact-1",
        "booking_id": f"bkg_{number}",
        "interaction_id": "int_1",
        "event_id": "evt_1",
        "slot_id": f"slt_{number}",
        "slot_start_date": START,
        "slot_end_date": END,
    } | members


def asking(**changes: Any) -> Ask:
    """A token request with these members."""
    return lambda office: office.it.ask(office.client, **changes)


def on_host(host: str) -> Ask:
    return lambda office: office.it.ask(office.client, {"Host": host})


async def mistyped(office: Office) -> httpx.Response:
    secret = office.client["client_secret"]
    return await office.it.ask(office.client, client_secret=secret[:-1] + ("a" if secret[-1] != "a" else "b"))


async def cut_off(office: Office) -> httpx.Response:
    return await office.it.ask(office.client, client_secret=office.client["client_secret"][:-8])


async def of_another_environment(office: Office) -> httpx.Response:
    return await office.it.ask(office.client, client_secret=new_client_secret("production").reveal())


async def expired(office: Office) -> httpx.Response:
    client = await office.client_with(label="summer", expires_in_seconds=60)
    office.it.clock.forward(61)
    return await office.it.ask(client)


async def revoked(office: Office) -> httpx.Response:
    client = await office.client_with(label="lost")
    await office.it.platform.tenancy.secrets.revoke(client["client_id"], client["secret_id"], actor=ACTOR)
    await office.it.settle()
    return await office.it.ask(client)


async def disabled(office: Office) -> httpx.Response:
    client = await office.client_with()
    await office.it.platform.tenancy.clients.disable(client["client_id"], actor=ACTOR)
    await office.it.settle()
    return await office.it.ask(client)


async def suspended(office: Office) -> httpx.Response:
    client = await office.it.add_client("asleep")
    await office.it.platform.tenancy.tenants.suspend("asleep", actor=ACTOR)
    await office.it.settle()
    return await office.it.ask(client)


async def beyond_its_grants(office: Office) -> httpx.Response:
    client = await office.client_with(allow=("bookings:read",))
    return await office.it.ask(client, scope="bookings:read bookings:cancel")


async def from_a_browser(office: Office) -> httpx.Response:
    return await office.it.ask(await office.client_with(), {"Origin": "https://shop.example"})


async def twice_authenticated(office: Office) -> httpx.Response:
    return await office.it.ask(office.client, basic(office.client["client_id"], office.client["client_secret"]))


async def too_many_tokens(office: Office) -> httpx.Response:
    client = await office.client_with(token_quota="1/minute")
    await office.it.ask(client)
    return await office.it.ask(client)


async def too_many_calls(office: Office) -> httpx.Response:
    token = await office.token(await office.client_with(api_quota="1/minute"))
    await office.fetch(token)
    return await office.fetch(token)


async def no_token(office: Office) -> httpx.Response:
    return await office.it.http.get(FETCH, params={"external_id": "contact-1"})


async def old_token(office: Office) -> httpx.Response:
    token = await office.token()
    office.it.clock.forward(3600 + 6)
    return await office.fetch(token)


async def half_a_token(office: Office) -> httpx.Response:
    # 65 of 86 characters of the signature: no base64 has such a length, whatever the token.
    return await office.fetch((await office.token())[:-21])


async def secret_as_token(office: Office) -> httpx.Response:
    return await office.fetch(office.client["client_secret"])


async def revoked_token(office: Office) -> httpx.Response:
    client = await office.client_with()
    token = await office.token(client)
    await office.it.platform.tenancy.secrets.revoke(client["client_id"], client["secret_id"], actor=ACTOR)
    await office.it.settle()
    return await office.fetch(token)


async def not_granted(office: Office) -> httpx.Response:
    client = await office.client_with(allow=("bookings:read",))
    return await office.write(CANCEL, await office.token(client), booking(1))


async def no_longer_entitled(office: Office) -> httpx.Response:
    token = await office.token(office.other)
    await office.it.platform.tenancy.entitlements.withdraw("other", ("bookings:cancel",), actor=ACTOR)
    await office.it.settle()
    return await office.write(CANCEL, token, booking(1))


async def granted_later(office: Office) -> httpx.Response:
    client = await office.client_with(allow=("bookings:read",))
    token = await office.token(client)
    await office.it.platform.tenancy.grants.allow(client["client_id"], ("bookings:cancel",), actor=ACTOR)
    await office.it.settle()
    return await office.write(CANCEL, token, booking(1))


async def on_anothers_host(office: Office) -> httpx.Response:
    return await office.fetch(await office.token(), {"Host": "other.api.example.com"})


async def misspelt(office: Office) -> httpx.Response:
    return await office.fetch(await office.token(), bookingstatus="CONFIRMED")


async def cancelled_before(office: Office) -> httpx.Response:
    token = await office.token()
    await office.write(CREATE, token, booking(1))
    await office.write(CANCEL, token, {"external_id": "contact-1", "booking_id": "bkg_1"})
    return await office.write(CANCEL, token, {"external_id": "contact-1", "booking_id": "bkg_1"})


async def of_nobody(office: Office) -> httpx.Response:
    return await office.write(CANCEL, await office.token(), {"external_id": "contact-1", "booking_id": "bkg_none"})


async def into_a_full_slot(office: Office) -> httpx.Response:
    token = await office.token()
    await office.write(CREATE, token, booking(2, slot_capacity=1))
    return await office.write(CREATE, token, booking(3, slot_id="slt_2", slot_capacity=1))


async def same_key_other_body(office: Office) -> httpx.Response:
    token = await office.token()
    await office.write(CREATE, token, booking(4), **{"Idempotency-Key": "one"})
    return await office.write(CREATE, token, booking(5), **{"Idempotency-Key": "one"})


async def for_another_api(office: Office) -> httpx.Response:
    client = await office.client_with()
    uri = "https://reports.example.com"
    await office.it.platform.tenancy.audiences.create("acme", NewAudience(audience=uri), actor=ACTOR)
    change = ClientChange(audiences=(uri, client["audience"]))
    await office.it.platform.tenancy.clients.update(client["client_id"], change, actor=ACTOR)
    await office.it.settle()
    return await office.fetch(await office.token(client, audience=uri))


async def token_call(office: Office, call: str, token: str, **fields: str) -> httpx.Response:
    credentials = {"client_id": office.client["client_id"], "client_secret": office.client["client_secret"]}
    return await office.it.http.post(f"/v1/oauth:{call}", data=credentials | {"token": token} | fields)


async def of_another_type(office: Office) -> httpx.Response:
    return await token_call(office, "revoke", "a-refresh-token", token_type_hint="refresh_token")


async def ended_alone(office: Office) -> httpx.Response:
    token = await office.token()
    assert (await token_call(office, "revoke", token)).status_code == 200
    return await office.fetch(token)


REFUSALS: dict[str, Refusal] = {
    "not an access token": Refusal(
        of_another_type, "token_type_unsupported", "token_form", "said to be of another type", "an access token"
    ),
    "ended by its client": Refusal(
        ended_alone, "token_revoked", "token_revocation", "revoked", "a token that is not revoked"
    ),
    "wrong secret": Refusal(
        asking(client_secret="not-it"), "client_authentication_failed", "credential",
        "of acme, with a secret that is none of its secrets", "a known client_id with one of its secrets", False,
    ),
    "unknown client": Refusal(
        asking(client_id="cli_0000000000000000000000"), "client_authentication_failed", "credential",
        "a client_id that is unknown", "a known client_id", False,
    ),
    "mistyped": Refusal(
        mistyped, "secret_mistyped", "credential_text", "a checksum that does not fit", "whose checksum fits", False
    ),
    "cut off": Refusal(cut_off, "secret_cut_off", "credential_text", "50 characters", "58 characters", False),
    "wrong environment": Refusal(
        of_another_environment, "secret_wrong_environment", "credential_text", "production", "staging", False
    ),
    "expired": Refusal(expired, "secret_expired", "secret_expiry", "expired at 2027-", "not expired"),
    "revoked": Refusal(revoked, "secret_revoked", "secret_revocation", "revoked at 2027-", "not revoked"),
    "disabled": Refusal(disabled, "client_disabled", "client_status", "disabled", "active client"),
    "suspended": Refusal(suspended, "tenant_suspended", "tenant_status", "suspended", "active tenant"),
    "unknown audience": Refusal(
        asking(audience="https://nobody.example"), "audience_unknown", "audience", "https://nobody.example",
        "https://acme.api.example.com",
    ),
    "beyond its grants": Refusal(
        beyond_its_grants, "scope_not_granted", "scope", "also bookings:cancel", "acme.api.example.com: bookings:read"
    ),
    "browser": Refusal(from_a_browser, "browser_request", "browser", "browser's header", "neither Origin"),
    "two methods": Refusal(
        twice_authenticated, "two_authentication_methods", "authentication_methods",
        "a client_secret in the body as well as an Authorization header", "one authentication method", False,
    ),
    "token quota": Refusal(too_many_tokens, "token_quota_exceeded", "quota", "", "1"),
    "another's host": Refusal(
        on_host("other.api.example.com"), "tenant_host_mismatch", "tenant_host", "tenant other", "tenant acme"
    ),
    "unknown host": Refusal(on_host("upstream:8080"), "host_unknown", "host", "upstream:8080", "id.example", False),
    "no grant type": Refusal(
        asking(grant_type=None), "parameter_missing", "parameters", "no grant_type", "client_credentials", False
    ),
    "no token": Refusal(no_token, "token_missing", "token_presented", "no Authorization header", "Bearer", False),
    "old token": Refusal(old_token, "token_expired", "token_time", "expired 6 s ago", ""),
    "half a token": Refusal(half_a_token, "token_malformed", "token_form", "cut off", "base64url", False),
    "secret as token": Refusal(secret_as_token, "token_malformed", "token_form", "a client secret", "token", False),
    "revoked token": Refusal(revoked_token, "token_revoked", "token_revocation", "sec_", ""),
    "not granted": Refusal(not_granted, "endpoint_not_enabled", "grant", "bookings:read", "a grant of bookings:cancel"),
    "no longer entitled": Refusal(
        no_longer_entitled, "endpoint_not_enabled", "entitlement", "bookings:read", "entitled to bookings:cancel"
    ),
    "granted later": Refusal(
        granted_later, "token_predates_grant", "token_scope", "scope: bookings:read", "bookings:cancel in the token"
    ),
    "tenant mismatch": Refusal(on_anothers_host, "tenant_mismatch", "tenant_host", "acme", "other"),
    "call quota": Refusal(too_many_calls, "quota_exceeded", "quota", "", "1"),
    "misspelt": Refusal(misspelt, "parameter_unknown", "parameters", "did you mean booking_status?", ""),
    "cancelled before": Refusal(cancelled_before, "booking_already_cancelled", "state", "CANCELLED", "CONFIRMED"),
    "of nobody": Refusal(of_nobody, "booking_not_found", "state", "", "booking"),
    "full slot": Refusal(into_a_full_slot, "slot_full", "state", "", "place"),
    "same key": Refusal(same_key_other_body, "idempotency_key_reused", "idempotency", "another body", "the body"),
    "other API": Refusal(
        for_another_api, "audience_mismatch", "token_audience", "https://reports.example.com", "acme.api.example.com"
    ),
}  # fmt: skip
