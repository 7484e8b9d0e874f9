"""Revoking and introspecting one token, and the metadata that names both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tokens.running import ACTOR, ISSUER, Running, basic, play

REVOKE, INTROSPECT = "/v1/oauth:revoke", "/v1/oauth:introspect"
LIST = "/v1/interactions:fetchContactBookings?external_id=contact-1"


async def token_of(it: Running, client: dict[str, Any], **changes: Any) -> str:
    return str((await it.ask(client, **changes)).json()["access_token"])


async def post(it: Running, path: str, client: dict[str, Any], token: str, **fields: str) -> httpx.Response:
    credentials = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    return await it.http.post(path, data=credentials | {"token": token} | fields)


async def status(it: Running, token: str) -> tuple[int, str]:
    answer = await it.http.get(LIST, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("code", "")


@pytest.mark.parametrize("how", ["form", "json", "basic"])
def test_a_revoked_token_is_refused_and_its_sisters_are_not(folder: Path, how: str) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        gone, kept = await token_of(it, client), await token_of(it, client)
        assert await status(it, gone) == (200, "")
        credentials = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
        if how == "json":
            answer = await it.http.post(REVOKE, json=credentials | {"token": gone})
        elif how == "form":
            answer = await it.http.post(REVOKE, data=credentials | {"token": gone, "token_type_hint": "access_token"})
        else:
            answer = await it.http.post(REVOKE, data={"token": gone}, headers=basic(*credentials.values()))
        assert (answer.status_code, answer.json()) == (200, {})
        assert answer.headers["cache-control"] == "no-store"
        assert await status(it, gone) == (401, "token_revoked")
        assert await status(it, kept) == (200, "")
        again = await post(it, REVOKE, client, gone)
        assert again.status_code == 200
        effects = [(await it.record_of(each)).details["effect"] for each in (answer, again)]
        assert effects == ["ended", "none: ended before"]
        assert gone not in str(await it.record_of(answer))

    play(folder, story)


def test_a_token_stays_revoked_after_a_restart_and_is_forgotten_after_its_life(folder: Path) -> None:
    token = ""

    async def revoke(it: Running) -> None:
        nonlocal token
        client = await it.add_client("acme")
        token = await token_of(it, client)
        assert (await post(it, REVOKE, client, token)).status_code == 200

    async def look(it: Running) -> None:
        assert await status(it, token) == (401, "token_revoked")
        assert len(it.platform.revoked_tokens.ids) == 1
        it.clock.forward(3600 + 120)
        await it.platform.revoked_tokens.sweep(it.platform.db)
        assert it.platform.revoked_tokens.ids == {}
        await it.platform.revoked_tokens.load()
        assert it.platform.revoked_tokens.ids == {}
        assert (await status(it, token))[1] == "token_expired"

    play(folder, revoke)
    play(folder, look)


def test_only_ones_own_tokens_can_be_ended_and_nothing_is_told_of_others(folder: Path) -> None:
    async def story(it: Running) -> None:
        client, sister = await it.add_client("acme"), await it.add_client("acme")
        stranger = await it.add_client("globex")
        token = await token_of(it, client)
        expired = await token_of(it, client)
        answers = [await post(it, REVOKE, each, token) for each in (sister, stranger)]
        answers += [await post(it, REVOKE, client, text) for text in ("x", "a.b.c", token[:-4] + "AAAA")]
        assert {(each.status_code, each.text) for each in answers} == {(200, "{}")}
        await it.settle()
        assert await status(it, token) == (200, "")
        it.clock.forward(4000)
        assert (await post(it, REVOKE, client, expired)).status_code == 200

    play(folder, story)


def test_a_token_of_another_type_is_refused_in_the_words_of_the_rfc(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        answer = await post(it, REVOKE, client, "a-refresh-token", token_type_hint="refresh_token")
        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type")
        token = await token_of(it, client)
        assert (await post(it, REVOKE, client, token, token_type_hint="refresh_token")).status_code == 200
        await it.settle()
        assert await status(it, token) == (401, "token_revoked")

    play(folder, story)


@pytest.mark.parametrize("path", [REVOKE, INTROSPECT])
def test_the_caller_has_to_prove_itself_as_for_a_token(folder: Path, path: str) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        other = await it.add_client("globex")
        token = await token_of(it, client)
        wrong = client | {"client_secret": other["client_secret"]}
        answers = {
            "wrong": await post(it, path, wrong, token),
            "unknown": await post(it, path, wrong | {"client_id": "nobody"}, token),
            "none": await it.http.post(path, data={"token": token}),
            "bearer": await it.http.post(path, data={"token": token}, headers={"Authorization": f"Bearer {token}"}),
            "no token": await post(it, path, client, ""),
            "twice": await it.http.post(path, content="token=a&token=b", headers={"Content-Type": FORM}),
            "query": await post(it, path + "?token=x", client, token),
            "media type": await it.http.post(path, content="token=a", headers={"Content-Type": "text/plain"}),
            "method": await it.http.get(path),
            "browser": await it.http.post(
                path,
                data={"token": token},
                headers=basic(client["client_id"], client["client_secret"]) | {"Origin": "https://shop.example"},
            ),
        }
        assert {name: (each.status_code, each.json()["error"]) for name, each in answers.items()} == {
            "wrong": (401, "invalid_client"),
            "unknown": (401, "invalid_client"),
            "none": (401, "invalid_client"),
            "bearer": (400, "invalid_request"),
            "no token": (400, "invalid_request"),
            "twice": (400, "invalid_request"),
            "query": (400, "invalid_request"),
            "media type": (415, "invalid_request"),
            "method": (405, "invalid_request"),
            "browser": (400, "invalid_request"),
        }
        assert answers["wrong"].json() | {"request_id": ""} == answers["unknown"].json() | {"request_id": ""}
        assert not any("access-control" in name for each in answers.values() for name in each.headers)
        (secret,) = await it.platform.tenancy.secrets.list_all(client["client_id"])
        assert secret["exposed_at"]
        await it.platform.audit._buffer.flush()
        record = await it.record_of(answers["wrong"])
        assert (record.endpoint, record.check) == (path.removeprefix("/v1/"), "credential")

    play(folder, story)


FORM = "application/x-www-form-urlencoded"


def test_wrong_secrets_meet_the_same_limit_and_calls_count_against_the_quota(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", api_quota="2/minute")
        wrong = client | {"client_secret": "wrong"}
        refused = [(await post(it, INTROSPECT, wrong, "x")).status_code for _ in range(4)]
        assert refused == [401, 401, 401, 429]
        allowed = [await post(it, INTROSPECT, client, "x") for _ in range(3)]
        assert [each.status_code for each in allowed] == [200, 200, 429]
        assert allowed[-1].json()["error"] == "slow_down"
        assert int(allowed[-1].headers["retry-after"]) > 0
        assert "ratelimit" in allowed[0].headers

    play(folder, story, failed_authentications_per_client_per_minute=3)


def test_introspection_tells_what_a_token_is_worth_at_this_moment(folder: Path) -> None:
    async def story(it: Running) -> None:
        client, sister = await it.add_client("acme"), await it.add_client("acme")
        token = await token_of(it, client)
        found = (await post(it, INTROSPECT, sister, token)).json()
        now = it.clock.ms // 1000
        assert found | {"jti": ""} == {
            "active": True,
            "scope": "bookings:cancel bookings:read",
            "client_id": client["client_id"],
            "token_type": "Bearer",
            "exp": now + 3600,
            "iat": now,
            "sub": client["client_id"],
            "aud": client["audience"],
            "iss": ISSUER,
            "jti": "",
            "tenant": "acme",
            "credential_id": client["secret_id"],
        }
        await it.platform.tenancy.grants.withdraw(client["client_id"], ("bookings:cancel",), actor=ACTOR)
        await it.settle()
        assert (await post(it, INTROSPECT, sister, token)).json()["scope"] == "bookings:read"
        await it.platform.tenancy.secrets.revoke(client["client_id"], client["secret_id"], actor=ACTOR)
        await it.settle()
        answer = await post(it, INTROSPECT, sister, token)
        assert answer.json() == {"active": False}
        await it.platform.audit._buffer.flush()
        assert (await it.record_of(answer)).details == {"active": "false"}

    play(folder, story)


def test_introspection_is_no_oracle_about_other_tenants(folder: Path) -> None:
    async def story(it: Running) -> None:
        client, stranger = await it.add_client("acme"), await it.add_client("globex")
        token = await token_of(it, client)
        texts = [token, token[:-4] + "AAAA", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."]
        answers = [await post(it, INTROSPECT, stranger, text) for text in texts]
        assert {each.text for each in answers} == {'{"active":false}'}
        await it.platform.audit._buffer.flush()
        records = [await it.record_of(each) for each in answers]
        assert {(each.tenant, str(each.details)) for each in records} == {("globex", "{'active': 'false'}")}
        it.clock.forward(4000)
        assert (await post(it, INTROSPECT, client, token)).json() == {"active": False}

    play(folder, story)


def test_the_metadata_names_both_and_says_how_to_authenticate(folder: Path) -> None:
    async def story(it: Running) -> None:
        found = (await it.http.get("/.well-known/oauth-authorization-server")).json()
        assert found["revocation_endpoint"] == ISSUER + REVOKE
        assert found["introspection_endpoint"] == ISSUER + INTROSPECT
        for name in ("revocation", "introspection"):
            methods = found[f"{name}_endpoint_auth_methods_supported"]
            assert methods == ["client_secret_basic", "client_secret_post"]

    play(folder, story)


def test_the_api_says_where_tokens_come_from_under_the_very_url_that_was_asked(folder: Path) -> None:
    async def story(it: Running) -> None:
        await it.add_client("acme")
        path = "/.well-known/oauth-protected-resource"
        hosts = {"acme": "https://acme.api.example.com", "nobody": "https://nobody.api.example.com", None: ISSUER}
        for resource in hosts.values():
            host = {"Host": resource.removeprefix("https://")}
            answer = await it.http.get(path, headers=host)
            found = answer.json()
            assert found["resource"] == resource
            assert found["authorization_servers"] == [ISSUER]
            assert found["bearer_methods_supported"] == ["header"]
            assert found["scopes_supported"] == ["bookings:cancel", "bookings:create", "bookings:read"]
            assert answer.headers["cache-control"] == "public, max-age=300"
            refused = await it.http.get(LIST, headers=host | {"Authorization": "Bearer nonsense"})
            challenge = f'Bearer error="invalid_token", resource_metadata="{resource}{path}"'
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, challenge)
            bare = await it.http.get(LIST, headers=host)
            assert bare.headers["www-authenticate"] == "Bearer"

    play(folder, story)
