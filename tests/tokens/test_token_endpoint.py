"""The token endpoint as callers see it, in process and with a standing clock."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest

from omnilab.crypto.secret import Secret
from omnilab.tenancy.model.orders import AudienceChange, LegacyCredential, NewAudience
from tests.tokens.running import ACTOR, ISSUER, TOKEN, Running, basic, play

GRANT = {"grant_type": "client_credentials"}


def claims(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return dict(jwt.decode(answer.json()["access_token"], options={"verify_signature": False}))


def refused(answer: httpx.Response, status: int, error: str, code: str) -> str:
    """Check the form of a refusal (RFC 6749 §5.2); returns its description."""
    body = answer.json()
    assert (answer.status_code, body["error"], body["error_uri"]) == (status, error, f"{ISSUER}/docs/errors/{code}")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "no-store"
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert body["error_description"].isascii()
    assert not set('"\\') & set(body["error_description"])
    return str(body["error_description"])


def test_json_form_and_basic_give_the_same_token(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        audience = {"audience": client["audience"]}
        both = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
        header = basic(quote(both["client_id"]).replace("_", "%5F"), quote(both["client_secret"]).replace("_", "%5F"))
        answers = [
            await it.ask(client),
            await it.http.post(TOKEN, data=GRANT | audience | both),
            await it.http.post(TOKEN, data=GRANT | both),
            await it.http.post(TOKEN, data=GRANT, headers=basic(*both.values())),
            await it.http.post(TOKEN, data=GRANT | {"resource": client["audience"]}, headers=header),
            await it.http.post(TOKEN, json=GRANT | audience, headers=basic(*both.values())),
            await it.http.post(TOKEN.replace(":", "%3A"), json=GRANT | audience | both),
        ]
        seen = set()
        for answer in answers:
            told = claims(answer)
            assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
            assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 3600)
            assert answer.headers["cache-control"] == "no-store"
            assert told.pop("jti") == answer.headers["x-request-id"]
            seen.add(tuple(sorted(told.items())))
        assert seen == {
            (
                ("aud", client["audience"]),
                ("client_id", client["client_id"]),
                ("credential_id", client["secret_id"]),
                ("exp", 1_800_003_600),
                ("iat", 1_800_000_000),
                ("iss", ISSUER),
                ("scope", "bookings:cancel bookings:read"),
                ("sub", client["client_id"]),
                ("tenant", "acme"),
            )
        }

    play(folder, story)


def test_a_scope_asked_for_narrows_and_is_told(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        for _ in range(2):
            answer = await it.ask(client, scope="bookings:read")
            assert claims(answer)["scope"] == answer.json()["scope"] == "bookings:read"
        both = await it.ask(client, scope="bookings:read bookings:cancel")
        assert both.json()["scope"] == "bookings:cancel bookings:read"
        assert claims(await it.ask(client))["scope"] == "bookings:cancel bookings:read"
        words = refused(await it.ask(client, scope="bookings:create"), 400, "invalid_scope", "scope_not_granted")
        assert "bookings:cancel bookings:read" in words

    play(folder, story)


def test_clients_of_one_tenant_share_nothing_that_tells_them_apart(folder: Path) -> None:
    """What tokens of a tenant have in common is kept. Asked twice, in turn, each is its own all the same."""

    async def story(it: Running) -> None:
        made = [
            ("acme", await it.add_client("acme")),
            ("acme", await it.add_client("acme")),
            ("acme", await it.add_client("acme", allow=("bookings:read",))),
            ("other", await it.add_client("other")),
        ]
        for _ in range(2):
            for tenant, client in made:
                answer = await it.ask(client)
                told, record = claims(answer), await it.record_of(answer)
                assert (told["sub"], told["client_id"]) == (client["client_id"], client["client_id"])
                assert told["credential_id"] == client["secret_id"]
                assert told["scope"] == " ".join(client["allowed"])
                assert told["tenant"] == record.tenant == tenant
                assert (record.client_id, record.secret_id) == (client["client_id"], client["secret_id"])
                assert record.details == {"audience": client["audience"], "scope": told["scope"]}
        await it.platform.tenancy.grants.withdraw(made[0][1]["client_id"], ["bookings:cancel"], actor=ACTOR)
        await it.settle()
        scopes = [claims(await it.ask(client))["scope"] for _, client in made[:2]]
        assert scopes == ["bookings:read", "bookings:cancel bookings:read"]

    play(folder, story)


def test_audiences(folder: Path) -> None:
    async def story(it: Running) -> None:
        await it.add_client("acme")
        new = NewAudience(audience="urn:loyalty", lifetime_seconds=60, endpoints=("loyalty:read",))
        await it.platform.tenancy.audiences.create("acme", new, actor=ACTOR)
        default = "https://acme.api.example.com"
        client = await it.add_client("acme", audiences=(default, "urn:loyalty"))
        answer = await it.ask(client, audience="urn:loyalty")
        assert (claims(answer)["scope"], answer.json()["expires_in"]) == ("", 60)
        refused(await it.ask(client, audience=None), 400, "invalid_request", "audience_missing")
        form = {name: client[name] for name in ("client_id", "client_secret")} | GRANT
        words = refused(await it.http.post(TOKEN, data=form), 400, "invalid_request", "audience_missing")
        assert default in words
        assert "urn:loyalty" in words
        other = await it.add_client("other")
        for audience in (other["audience"], "urn:nobody"):
            refused(await it.ask(client, audience=audience), 400, "invalid_target", "audience_unknown")
        mixed = await it.ask(client, resource="urn:loyalty", audience=default)
        refused(mixed, 400, "invalid_request", "resource_mismatch")
        assert claims(await it.ask(client, audience=None, resource="urn:loyalty"))["aud"] == "urn:loyalty"

    play(folder, story)


def test_an_audience_chooses_its_algorithm(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        for algorithm in ("RS256", "EdDSA", "ES256"):
            change = AudienceChange(algorithm=algorithm)
            await it.platform.tenancy.audiences.update("acme", client["audience"], change, actor=ACTOR)
            await it.settle()
            token = (await it.ask(client)).json()["access_token"]
            assert jwt.get_unverified_header(token)["alg"] == algorithm

    play(folder, story)


@pytest.mark.parametrize(
    ("changes", "status", "error", "code"),
    [
        ({"grant_type": None}, 400, "invalid_request", "parameter_missing"),
        ({"grant_type": ""}, 400, "invalid_request", "parameter_missing"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", "grant_type_unsupported"),
        ({"client_id": None}, 401, "invalid_client", "credential_missing"),
        ({"client_secret": ""}, 401, "invalid_client", "credential_missing"),
        ({"client_secret": ["s"]}, 400, "invalid_request", "parameter_invalid"),
        ({"client_id": "a\0b"}, 400, "invalid_request", "request_malformed"),
        ({"audience": None}, 400, "invalid_request", "audience_missing"),
        ({"client_secret": "omni_stg_short"}, 401, "invalid_client", "secret_cut_off"),
        ({"client_secret": "omni_prd_" + "a" * 43 + "000000"}, 401, "invalid_client", "secret_mistyped"),
        ({"client_secret": "an earlier system's"}, 401, "invalid_client", "client_authentication_failed"),
        ({"client_id": "cli_unknown"}, 401, "invalid_client", "client_authentication_failed"),
        ({"pad": "x" * 17_000}, 413, "invalid_request", "body_too_large"),
    ],
)
def test_refusals(folder: Path, changes: dict[str, Any], status: int, error: str, code: str) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        answer = await it.ask(client, **changes)
        refused(answer, status, error, code)
        assert "www-authenticate" not in answer.headers
        record = await it.record_of(answer)
        assert (record.outcome, record.code) == ("refused", code)
        assert client["client_secret"][9:] not in repr(record)

    play(folder, story)


def test_media_types_methods_and_queries(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        for kind in ("text/plain", "application/json; charset=iso-8859-1", "multipart/form-data; boundary=x"):
            answer = await it.http.post(TOKEN, content=b"{}", headers={"Content-Type": kind})
            refused(answer, 415, "invalid_request", "media_type_unsupported")
        answer = await it.http.get(TOKEN)
        refused(answer, 405, "invalid_request", "method_not_allowed")
        assert answer.headers["allow"] == "POST"
        answer = await it.http.post(f"{TOKEN}?client_secret={client['client_secret']}", json=GRANT)
        assert client["client_secret"] not in refused(answer, 400, "invalid_request", "parameter_invalid")
        assert client["client_secret"] not in repr(await it.record_of(answer))

    play(folder, story)


def test_a_stranger_learns_nothing_from_the_words(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        other = await it.add_client("other")
        answers = [
            await it.ask(client, client_id="cli_unknown"),
            await it.ask(client, client_secret=other["client_secret"]),
            await it.ask(client, client_secret="not it"),
            await it.ask(client, client_secret="not it", headers={"Host": "acme.api.example.com"}),
            await it.ask(client, client_secret="not it", headers={"Host": "other.api.example.com"}),
            await it.ask(client, client_secret="not it", headers={"Host": "nobody.api.example.com"}),
        ]
        told = {tuple(sorted((answer.json() | {"request_id": ""}).items())) for answer in answers}
        assert len(told) == 1
        refused(answers[0], 401, "invalid_client", "client_authentication_failed")

    play(folder, story)


def test_basic_is_answered_with_a_challenge_that_says_all(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        answer = await it.http.post(TOKEN, data=GRANT, headers=basic(client["client_id"], "omni_stg_short"))
        words = refused(answer, 401, "invalid_client", "secret_cut_off")
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith("Basic ")
        assert 'error="invalid_client"' in challenge
        assert words in challenge
        twice = await it.ask(client, headers=basic(client["client_id"], client["client_secret"]))
        assert "Two authentication methods" in refused(twice, 400, "invalid_request", "two_authentication_methods")

    play(folder, story)


def test_the_holder_of_a_right_secret_is_told_everything(folder: Path) -> None:
    async def story(it: Running) -> None:
        tenancy = it.platform.tenancy
        client = await it.add_client("acme", expires_in_seconds=60, label="blue")
        it.clock.forward(60)
        words = refused(await it.ask(client), 401, "invalid_client", "secret_expired")
        assert "label blue" in words
        assert "2027-01-15T08:01:00Z" in words
        client = await it.add_client("acme")
        for switch, back, code in (
            (tenancy.clients.disable, tenancy.clients.enable, "client_disabled"),
            (tenancy.tenants.suspend, tenancy.tenants.restore, "tenant_suspended"),
        ):
            key = client["client_id"] if code == "client_disabled" else "acme"
            await switch(key, actor=ACTOR)
            await it.settle()
            answer = await it.ask(client)
            refused(answer, 401, "invalid_client", code)
            record = await it.record_of(answer)
            assert (record.client_id, record.secret_id, record.tenant) == (
                client["client_id"], client["secret_id"], "acme",
            )  # fmt: skip
            await back(key, actor=ACTOR)
            await it.settle()
            claims(await it.ask(client))
        await tenancy.secrets.revoke(client["client_id"], client["secret_id"], actor=ACTOR)
        await it.settle()
        assert client["secret_id"] in refused(await it.ask(client), 401, "invalid_client", "secret_revoked")

    play(folder, story)


def test_on_another_tenants_host_a_right_secret_is_told_where_to_go(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        await it.add_client("other")
        claims(await it.ask(client, headers={"Host": "acme.api.example.com"}))
        for host in ("other.api.example.com", "nobody.api.example.com"):
            answer = await it.ask(client, headers={"Host": host})
            assert client["token_url"] in refused(answer, 401, "invalid_client", "tenant_host_mismatch")

    play(folder, story)


def test_a_browser_is_refused_and_its_right_secret_is_marked_once(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        wrong = await it.ask(client, client_secret="not it", headers={"Origin": "https://shop.example"})
        refused(wrong, 400, "invalid_request", "browser_request")
        assert (await exposed(it, client)) is None
        claims(await it.ask(client, headers={"Sec-Fetch-Mode": "cors"}))
        for header in ("Origin", "Sec-Fetch-Site"):
            answer = await it.ask(client, headers={header: "null"})
            refused(answer, 400, "invalid_request", "browser_request")
            found = await it.platform.audit.find(answer.headers["x-request-id"])
            assert {record.client_id for record in found} == {client["client_id"]}
            await it.settle()
        assert len(found) == 1  # the first request's mark is the only one
        assert (await exposed(it, client)) == "2027-01-15T08:00:00Z"
        # Exposed is a mark, not a revocation: callers must be able to move.
        claims(await it.ask(client))
        both = await it.ask(client, headers={"Origin": "x"} | basic("a", "b"))
        refused(both, 400, "invalid_request", "browser_request")

    async def exposed(it: Running, client: dict[str, Any]) -> object:
        (secret,) = await it.platform.tenancy.secrets.list_all(client["client_id"])
        return secret["exposed_at"]

    play(folder, story)


def test_quotas_are_told_on_every_answer_of_a_proved_client(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", token_quota="3/minute")
        granted = await it.ask(client)
        assert '"client";r=2' in granted.headers["ratelimit"]
        beyond = await it.ask(client, audience="urn:nobody")
        refused(beyond, 400, "invalid_target", "audience_unknown")
        assert '"client";r=1' in beyond.headers["ratelimit"]
        await it.ask(client)
        over = await it.ask(client)
        refused(over, 429, "slow_down", "token_quota_exceeded")
        assert int(over.headers["retry-after"]) > 0
        assert '"client";r=0' in over.headers["ratelimit"]
        assert (await it.record_of(over)).client_id == client["client_id"]
        assert "ratelimit" not in (await it.ask(client, client_secret="not it")).headers

    play(folder, story)


def test_too_many_wrong_secrets_slow_down_and_a_right_one_is_always_answered(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        for _ in range(3):
            refused(await it.ask(client, client_secret="x"), 401, "invalid_client", "client_authentication_failed")
        answer = await it.ask(client, client_secret="x")
        refused(answer, 429, "slow_down", "too_many_failed_authentications")
        assert int(answer.headers["retry-after"]) > 0
        claims(await it.ask(client))

    play(folder, story, failed_authentications_per_client_per_minute=3)


def test_every_token_has_its_record(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        plain = await it.ask(client)
        named = await it.ask(client, headers={"X-Request-Id": "their-own-7"})
        assert named.headers["x-request-id"] != "their-own-7"
        for answer, own in ((plain, None), (named, "their-own-7")):
            record = await it.record_of(answer)
            assert (record.outcome, record.endpoint, record.address) == ("granted", "oauth:token", "192.0.2.7")
            assert (record.client_id, record.secret_id) == (client["client_id"], client["secret_id"])
            assert record.details == {"audience": client["audience"], "scope": "bookings:cancel bookings:read"}
            assert (record.occurred_at, record.caller_request_id) == (it.clock.now_ms(), own)
            assert answer.json()["access_token"].split(".")[2] not in repr(record)
        (secret,) = await it.platform.tenancy.secrets.list_all(client["client_id"])
        await it.platform.secret_use.flush()
        (secret,) = await it.platform.tenancy.secrets.list_all(client["client_id"])
        assert secret["use_count"] == 2

    play(folder, story)


def test_no_record_no_token(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        with sqlite3.connect(folder / "omnilab.db") as broken:
            broken.execute("DROP TABLE audit_records")
        answer = await it.ask(client)
        refused(answer, 503, "temporarily_unavailable", "temporarily_unavailable")
        assert "access_token" not in answer.text
        assert answer.headers["retry-after"] == "1"

    play(folder, story)


def test_a_legacy_secret_with_every_awkward_character(folder: Path) -> None:
    secret = "p+ss w%rd:/%41&=é"

    async def story(it: Running) -> None:
        other = await it.add_client("acme")
        order = LegacyCredential(
            tenant="acme",
            client_id="old client%",
            client_secret=Secret(secret),
            audience=other["audience"],
            allowed=("bookings:read",),
            expires_at=it.clock.now_ms() + 60_000,
        )
        await it.platform.tenancy.imports.add(order, actor=ACTOR)
        await it.settle()
        client = other | {"client_id": "old client%", "client_secret": secret}
        claims(await it.ask(client))
        for encode in (str, quote, lambda text: quote(text, safe="")):
            header = basic(encode("old client%"), encode(secret))
            told = claims(await it.http.post(TOKEN, data=GRANT, headers=header))
            assert told["sub"] == "old client%"
            record = await it.record_of(await it.http.post(TOKEN, data=GRANT, headers=header))
            assert record.client_id == "old client%"

    play(folder, story)
