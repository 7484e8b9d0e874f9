"""The gate of our own API: every refusal of the contract, with the step that failed and whose request it proved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from omnilab.codes import CHECKS, CODES
from omnilab.errors import CredentialError, OmniLabError, RequestError, RightError, Subject, UnavailableError
from omnilab.gate import Gate
from omnilab.guard import Guard, KeysUnavailableError
from omnilab.quotas import QuotaExceededError, QuotaLimits, QuotaService
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation
from tests.guard.minting import AUDIENCE, ISSUER, JWKS, NOW, STRANGER, Mint, token
from tests.guard.standing import FakeAudience, FakeClient, FakeStandings
from tests.quotas.fakes import FakeClock, finish

ACME = Subject("ten_acme", "acme", "cli_one", "sec_one")


async def handler(exchange: Exchange) -> None:
    return


def operation(endpoint: str | None = "bookings:read") -> Operation:
    return Operation(
        method="GET",
        path="/v1/x",
        operation_id="x",
        handler=handler,
        summary="",
        endpoint=endpoint,
        protected=True,
    )


@dataclass
class Entrance:
    """A gate with one client, whose standing the test changes."""

    client: FakeClient = field(default_factory=FakeClient)
    quota: str | None = "100/minute"
    jwks: Any = field(default_factory=lambda: JWKS)

    def __post_init__(self) -> None:
        self.standings = FakeStandings(self.client)
        self.quotas = QuotaService(QuotaLimits.of(client_api=self.quota), FakeClock(), salt=b"2" * 16)
        guard = Guard(issuer=ISSUER, audience=None, jwks=self.jwks, standings=self.standings, now=lambda: float(NOW))
        self.gate = Gate(guard, self.quotas, standings=self.standings)
        self.exchange: Any = None

    def admit(self, *values: str, endpoint: str | None = "bookings:read", **request: Any) -> Any:
        self.exchange = make_exchange(values, **request)
        return finish(self.gate.admit(self.exchange, operation(endpoint)))

    def refusal(self, *values: str, **request: Any) -> OmniLabError:
        with pytest.raises(OmniLabError) as caught:
            self.admit(*values, **request)
        error = caught.value
        assert error.code in CODES
        assert error.check in CHECKS["api"] or isinstance(error, UnavailableError)
        assert bool(error.expected and error.found) or isinstance(error, UnavailableError)
        return error

    def used(self) -> int:
        state = finish(self.quotas.peek(self.client))["api"]["client"]
        return 0 if state is None else state["limit"] - state["remaining"]


def make_exchange(
    values: tuple[str, ...],
    *,
    query: bytes = b"",
    body: bytes = b"",
    media_type: str | None = None,
    host_tenant: str | None = None,
) -> Exchange:
    headers = [(b"authorization", value.encode("latin-1")) for value in values]
    if media_type is not None:
        headers.append((b"content-type", media_type.encode()))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        raise AssertionError("the gate answers nothing itself")

    method = "POST" if body else "GET"
    scope = {"type": "http", "scheme": "https", "method": method, "path": "/v1/x", "query_string": query}
    exchange = Exchange(scope | {"headers": headers}, receive, send, request_id="0190")
    exchange.host_tenant = host_tenant
    return exchange


def test_a_caller_with_the_right_gets_in() -> None:
    entrance = Entrance()
    caller = entrance.admit(f"bEARER {token()}", host_tenant="acme")
    assert (caller.client_id, caller.tenant_id, caller.standing) == ("cli_one", "ten_acme", entrance.client)
    assert entrance.exchange.caller is caller
    assert entrance.exchange.subject == ACME
    assert dict(entrance.exchange.extra_headers) == {
        b"ratelimit-policy": b'"client";q=100;w=60',
        b"ratelimit": b'"client";r=99;t=60',
    }


def test_an_operation_without_an_endpoint_needs_no_grant() -> None:
    client = FakeClient(allowed=frozenset(), grants=frozenset())
    assert Entrance(client).admit(f"Bearer {token(scope='')}", endpoint=None).allowed == frozenset()


def test_a_grant_of_which_memory_has_not_heard_is_asked_for_before_it_is_missed() -> None:
    entrance = Entrance(FakeClient(allowed=frozenset(), grants=frozenset()))
    entrance.standings.unheard["cli_one"] = FakeClient()
    caller = entrance.admit(f"Bearer {token(scope='bookings:read')}")
    assert caller.standing is entrance.standings.unheard["cli_one"]
    assert entrance.used() == 1


def test_no_token() -> None:
    error = Entrance().refusal()
    assert isinstance(error, CredentialError)
    assert (error.code, error.check, error.subject) == ("token_missing", "token_presented", None)


@pytest.mark.parametrize(
    "request_",
    [
        {"values": ("Bearer a", "Bearer b")},
        {"values": ("Bearer a", "Basic b")},
        {"values": ("Bearer a, Bearer b",)},
        {"query": b"access_token=x"},
        {"query": b"external_id=1&access_token=x"},
        {"query": b"a%63cess_token=x"},
        {"query": b"access_token"},
        {"values": (f"Bearer {token()}",), "query": b"access_token=x"},
        {"body": b"access_token=x", "media_type": "application/x-www-form-urlencoded"},
        {"body": b"a=1&access%5Ftoken=x", "media_type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"},
        {"body": b'{"access_token": "x"}', "media_type": "application/json"},
        {
            "values": (f"Bearer {token()}",),
            "body": b"access_token=x",
            "media_type": "application/x-www-form-urlencoded",
        },
    ],
)
def test_a_token_in_query_or_body_or_two_is_a_malformed_request(request_: dict[str, Any]) -> None:
    values = request_.get("values", ())
    error = Entrance().refusal(*values, **{name: value for name, value in request_.items() if name != "values"})
    assert isinstance(error, RequestError)
    assert (error.code, error.check) == ("request_malformed", "token_presented")


@pytest.mark.parametrize(
    "request_",
    [
        {"query": b"external_id=a%20b"},
        {"query": b"external_id=access_token"},
        {"query": b"xaccess_token=1"},
        {"body": b'{"a": 1}', "media_type": "application/json"},
        {"body": b"a=access_token", "media_type": "application/x-www-form-urlencoded"},
        {"body": b"access_token", "media_type": "text/plain"},
        {"body": b"access_token=" + b"x" * 20_000, "media_type": "application/x-www-form-urlencoded"},
    ],
)
def test_what_only_looks_like_it_is_let_through(request_: dict[str, Any]) -> None:
    Entrance().admit(f"Bearer {token()}", **request_)
    assert Entrance().refusal(**request_).code == "token_missing"


def test_a_forged_token_proves_nobody() -> None:
    error = Entrance().refusal(f"Bearer {Mint(key=STRANGER).token()}")
    assert (error.code, error.subject, error.claimed_client_id) == ("token_malformed", None, None)


def test_an_expired_token_still_says_whose_it_was() -> None:
    error = Entrance().refusal(f"Bearer {token(exp=NOW - 60)}")
    assert (error.code, error.check, error.subject) == ("token_expired", "token_time", ACME)


@pytest.mark.parametrize(
    ("change", "code", "check"),
    [
        ({"active": False}, "client_disabled", "client_status"),
        ({"live": set()}, "token_revoked", "token_revocation"),
        ({"audiences": {}}, "audience_mismatch", "token_audience"),
    ],
)
def test_the_live_standing_refuses(change: dict[str, Any], code: str, check: str) -> None:
    entrance = Entrance(FakeClient(**change))
    error = entrance.refusal(f"Bearer {token()}")
    assert (error.code, error.check, error.subject) == (code, check, ACME)
    assert entrance.used() == 0


def test_a_suspended_tenant() -> None:
    entrance = Entrance()
    entrance.client.tenant.active = False
    assert entrance.refusal(f"Bearer {token()}").code == "tenant_suspended"


def test_another_tenants_host_is_told_before_anything_live() -> None:
    entrance = Entrance(FakeClient(active=False))
    error = entrance.refusal(f"Bearer {token()}", host_tenant="globex")
    assert (error.code, error.check, error.subject) == ("tenant_mismatch", "tenant_host", ACME)


def test_a_client_that_is_gone_is_only_claimed() -> None:
    entrance = Entrance()
    entrance.standings.clients.clear()
    error = entrance.refusal(f"Bearer {token()}")
    assert (error.code, error.subject, error.claimed_client_id) == ("token_revoked", None, "cli_one")


def test_an_audience_without_the_endpoint() -> None:
    client = FakeClient(audiences={AUDIENCE: FakeAudience(frozenset()), "urn:bookings": FakeAudience()})
    error = Entrance(client).refusal(f"Bearer {token()}")
    assert (error.code, error.check, error.subject) == ("audience_mismatch", "token_audience", ACME)
    assert "urn:bookings" in error.expected
    assert "none" in Entrance(FakeClient()).refusal(f"Bearer {token()}", endpoint="bookings:create").expected


@pytest.mark.parametrize(
    ("client", "scope", "code", "check"),
    [
        (FakeClient(grants=frozenset(), allowed=frozenset()), "bookings:read", "endpoint_not_enabled", "grant"),
        (FakeClient(allowed=frozenset()), "bookings:read", "endpoint_not_enabled", "entitlement"),
        (FakeClient(grants=frozenset(), allowed=frozenset()), "", "endpoint_not_enabled", "grant"),
        (FakeClient(), "bookings:cancel", "token_predates_grant", "token_scope"),
        (FakeClient(), "", "token_predates_grant", "token_scope"),
    ],
)
def test_a_missing_right(client: FakeClient, scope: str, code: str, check: str) -> None:
    entrance = Entrance(client)
    error = entrance.refusal(f"Bearer {token(scope=scope)}")
    assert isinstance(error, RightError)
    assert (error.code, error.check, error.subject) == (code, check, ACME)
    assert entrance.used() == 1  # a refused right is a call, and says so
    assert b"ratelimit" in dict(entrance.exchange.extra_headers)


def test_a_used_up_quota() -> None:
    entrance = Entrance(quota="2/minute")
    for _ in range(2):
        entrance.admit(f"Bearer {token()}")
    error = entrance.refusal(f"Bearer {token()}")
    assert isinstance(error, QuotaExceededError)
    assert (error.code, error.check, error.subject, error.retry_after_seconds) == ("quota_exceeded", "quota", ACME, 60)
    assert dict(entrance.exchange.extra_headers)[b"ratelimit"] == b'"client";r=0;t=60'


def test_without_quotas_there_are_no_headers() -> None:
    entrance = Entrance(quota=None)
    entrance.admit(f"Bearer {token()}")
    assert entrance.exchange.extra_headers == []
    assert entrance.used() == 0


def test_without_standings_nothing_is_decided() -> None:
    entrance = Entrance()
    entrance.standings.error = UnavailableError("the feed is away")
    with pytest.raises(UnavailableError):
        entrance.admit(f"Bearer {token()}")
    error = entrance.refusal(f"Bearer {token(exp=NOW - 60)}")  # certain without them
    assert (error.code, error.subject, error.claimed_client_id) == ("token_expired", None, "cli_one")


def test_without_keys_nothing_is_decided() -> None:
    class NoKeys:
        def poll(self) -> None:
            return

        async def find(self, key_id: str) -> Any:
            raise KeysUnavailableError("away", retry_after_seconds=3)

    error = Entrance(jwks=NoKeys()).refusal(f"Bearer {token()}")
    assert isinstance(error, UnavailableError)
    assert error.retry_after_seconds == 3
