"""GuardMiddleware before any ASGI application: what it lets through and what it answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from omnilab.codes import CODES
from omnilab.guard import Guard, GuardMiddleware, KeysUnavailableError
from omnilab.guard.answers import PROBLEMS, challenge
from omnilab.web.problems import API_STATUS, bearer_challenge
from tests.guard.minting import AUDIENCE, ISSUER, JWKS, NOW, token

GUARD = Guard(issuer=ISSUER, audience=AUDIENCE, jwks=JWKS, now=lambda: float(NOW))


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    state = scope.get("state", {})
    caller = state.get("caller")
    if scope["path"] == "/cancel":
        caller.require("bookings:cancel")
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        caller.require("bookings:cancel")
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    body = json.dumps({"client_id": caller and caller.client_id, "kept": state.get("kept")}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def call(*authorization: str, path: str = "/", app: Any = None, **changes: Any) -> tuple[int, dict[str, str], Any]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"authorization", value.encode("latin-1")) for value in authorization],
        "state": {"kept": 1},
    } | changes
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect" if scope["type"] == "websocket" else "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run((app or GuardMiddleware(application, GUARD, open_paths=["/healthz"]))(scope, receive, send))
    if "status" not in sent[0]:
        return 0, {}, sent
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = sent[1]["body"]
    return sent[0]["status"], headers, json.loads(body) if body else None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_a_right_token_is_let_through(scheme: str) -> None:
    status, _, body = call(f"{scheme} {token()}")
    assert (status, body) == (200, {"client_id": "cli_one", "kept": 1})


def test_an_open_path_needs_no_token() -> None:
    assert call(path="/healthz")[0] == 200
    assert call(path="/healthz/")[0] == 401
    assert call(type="lifespan")[2] == [{"type": "lifespan.startup.complete"}]


@pytest.mark.parametrize(
    "values", [(), ("",), ("Bearer",), ("Bearer ",), ("Basic Y2xpOnNlYw==",), (token(),), ("omni_dev_x",)]
)
def test_without_a_bearer_token_the_challenge_is_bare(values: tuple[str, ...]) -> None:
    status, headers, body = call(*values)
    assert (status, body["code"], headers["www-authenticate"]) == (401, "token_missing", "Bearer")
    assert headers["content-type"] == "application/problem+json"


def test_a_wrong_token_is_answered_with_its_code() -> None:
    status, headers, body = call(f"Bearer {token(exp=NOW - 100)}")
    assert (status, headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert body == {
        "type": f"{ISSUER}/docs/errors/token_expired",
        "title": "The access token has expired",
        "status": 401,
        "detail": "The access token has expired; get a new one and repeat the call once.",
        "code": "token_expired",
    }
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "values",
    [("Bearer a", "Bearer a"), (f"Bearer {token()}", "Basic eA=="), ("Bearer a, Bearer b",), ("Bearer a,bearer b",)],
)
def test_two_tokens_are_refused(values: tuple[str, ...]) -> None:
    status, headers, body = call(*values)
    assert (status, body["code"]) == (400, "request_malformed")
    assert "www-authenticate" not in headers


def test_a_missing_right_raised_by_the_application_is_403() -> None:
    status, headers, body = call(f"Bearer {token(scope='bookings:read')}", path="/cancel")
    assert (status, body["code"]) == (403, "endpoint_not_enabled")
    assert headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


def test_what_is_raised_after_the_answer_began_is_raised_on() -> None:
    with pytest.raises(Exception, match="not enabled"):
        call(f"Bearer {token(scope='')}", path="/late")


def test_without_keys_it_is_503_with_retry_after() -> None:
    class NoKeys:
        def poll(self) -> None:
            return

        async def find(self, key_id: str) -> Any:
            raise KeysUnavailableError("away", retry_after_seconds=7)

    guard = Guard(issuer=ISSUER, audience=AUDIENCE, jwks=NoKeys(), now=lambda: float(NOW))
    app = GuardMiddleware(application, guard, docs_url="https://docs.example.com/")
    status, headers, body = call(f"Bearer {token()}", app=app)
    assert (status, headers["retry-after"], body["code"]) == (503, "7", "temporarily_unavailable")
    assert body["type"] == "https://docs.example.com/errors/temporarily_unavailable"
    assert "www-authenticate" not in headers


def test_head_has_no_body_and_the_request_id_is_kept() -> None:
    assert call(method="HEAD")[2] is None
    assert call(state={"request_id": "0190"})[2]["request_id"] == "0190"


def test_websockets_are_guarded_too() -> None:
    assert call(type="websocket")[2] == [{"type": "websocket.close", "code": 1008}]
    assert call(f"Bearer {token()}", type="websocket")[2] == [{"type": "websocket.accept"}]


def test_the_islands_answers_are_those_of_the_platform() -> None:
    for code, (status, title) in PROBLEMS.items():
        assert API_STATUS[code] == status, code
        assert CODES[code].title == title, code
        if status in (401, 403):
            assert challenge(code, status) == bearer_challenge(code, status)
    platform = {code for code, status in API_STATUS.items() if status in (401, 403, 503)}
    platform -= {"address_not_allowed"}  # a client's list of addresses is the platform's to keep, not a token's to say
    assert platform == {code for code, (status, _) in PROBLEMS.items() if status != 400}


@pytest.mark.parametrize(
    "value", ["Bearer " + "x" * 200_000, "Bearer \xff\xfe", "Bearer \x00", "Bearer ..", "Bearer a b"]
)
def test_odd_values_are_malformed_and_never_quoted(value: str) -> None:
    status, _, body = call(value)
    assert (status, body["code"]) == (401, "token_malformed")
    assert value[7:] not in json.dumps(body)
