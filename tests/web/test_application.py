"""Every answer has a request id, every refusal its form, and nothing private leaves."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from omnilab.errors import (
    ConflictError,
    LimitError,
    RequestError,
    RightError,
    Subject,
    TokenRefusedError,
    UnavailableError,
)
from omnilab.web.exchange import Exchange
from omnilab.web.hand_off_page import hand_off_pages
from omnilab.web.health import health_operations
from tests.web.driver import DOCS, Answer, OpenGate, Recorded, World, operation

REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def check_common(answer: Answer) -> None:
    assert REQUEST_ID.fullmatch(answer.header("x-request-id") or "")
    assert answer.header("x-content-type-options") == "nosniff"
    assert not any(name.lower().startswith(b"access-control-") for name, _ in answer.headers)


def raising(error: Exception):
    async def handler(exchange: Exchange) -> None:
        raise error

    return handler


def test_an_answer_carries_its_headers() -> None:
    answer = World([operation()]).send("GET", "/v1/things:list")
    assert (answer.status, answer.json) == (200, {"ok": True})
    check_common(answer)
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-length") == "11"


@pytest.mark.parametrize("path", ["/v1/things%3Alist", "/v1/things%3alist"])
def test_an_encoded_colon_is_a_colon(path: str) -> None:
    world = World([operation()])
    assert world.send("GET", path).status == 200
    assert world.seen.exchanges[0].path == "/v1/things:list"


@pytest.mark.parametrize(
    "path",
    [
        "//v1/things:list",
        "/v1//things:list",
        "/v1/things:list/",
        "/v1/things:list;x=1",
        "/V1/things:list",
        "/v1/Things:list",
        "/v1%2Fthings:list",
        "/v1/%74hings:list",
        "/v1/./things:list",
        "/v1/things%253Alist",
        "/",
        "*",
    ],
)
def test_any_other_spelling_is_another_path(path: str) -> None:
    answer = World([operation()], pages=list(hand_off_pages())).send("GET", path)
    assert answer.status == 404
    assert answer.json["code"] == "not_found"
    assert answer.header("content-type") == "application/problem+json"
    check_common(answer)


def test_another_method_is_told_which_are_allowed() -> None:
    world = World([operation(), operation(method="POST", path="/v1/things:make")])
    answer = world.send("DELETE", "/v1/things:list")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    assert answer.json["code"] == "method_not_allowed"
    assert world.send("OPTIONS", "/v1/things:make").header("allow") == "POST"
    assert world.send("HEAD", "/v1/things:make").status == 405


def test_head_is_for_documents_only() -> None:
    world = World([operation(), operation(path="/v1/secret:list", protected=True)])
    answer = world.send("HEAD", "/v1/things:list")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "11")
    assert world.send("HEAD", "/v1/secret:list").status == 405


def test_the_gate_stands_before_the_handler() -> None:
    refusal = RightError("endpoint_not_enabled", "Ask for it.", check="grant", reason="private", found="private")
    world = World([operation(protected=True, handler=raising(AssertionError()))], gate=OpenGate(refusal))
    answer = world.send("GET", "/v1/things:list")
    assert answer.status == 403
    assert answer.header("www-authenticate") == 'Bearer error="insufficient_scope"'
    assert answer.json == {
        "type": f"{DOCS}/errors/endpoint_not_enabled",
        "title": "This endpoint is not enabled for the client",
        "status": 403,
        "detail": "Ask for it.",
        "code": "endpoint_not_enabled",
        "request_id": answer.header("x-request-id"),
    }
    assert world.recorder.refusals[0][2] is refusal


def test_the_caller_reaches_the_handler() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200, exchange.caller.encode())

    assert World([operation(protected=True, handler=handler)]).send("GET", "/v1/things:list").body == b"the caller"


def test_a_crash_is_answered_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    world = World([operation(handler=raising(RuntimeError("text of the crash")))])
    answer = world.send("GET", "/v1/things:list")
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert b"text of the crash" not in answer.body
    check_common(answer)
    _, _, error = world.recorder.refusals[0]
    assert error.reason == "crash: RuntimeError"


def test_a_crash_of_a_page_is_answered_too() -> None:
    def page(request: Request) -> PlainTextResponse:
        raise RuntimeError("text of the crash")

    answer = World([], pages=[Route("/page", page)]).send("GET", "/page")
    assert answer.status == 503
    assert b"text" not in answer.body.replace(b"context", b"")
    check_common(answer)


def test_a_crash_after_the_answer_began_cuts_the_connection() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.answer(200, b"{}")
        raise RuntimeError("too late")

    world = World([operation(handler=handler)])
    with pytest.raises(RuntimeError):
        world.send("GET", "/v1/things:list")
    assert world.seen.exchanges[0].status == 200


def test_a_refusal_that_cannot_be_recorded_is_not_given() -> None:
    refusal = TokenRefusedError("secret_expired", "It ended.")
    for failure in (UnavailableError("database gone", retry_after_seconds=7), RuntimeError("bug")):
        world = World(
            [operation(method="POST", error_format="oauth", handler=raising(refusal))],
            recorder=Recorded(failure=failure),
        )
        answer = world.send("POST", "/v1/things:list")
        assert answer.status == 503
        assert answer.json["error"] == "temporarily_unavailable"
        assert answer.header("retry-after") == ("7" if isinstance(failure, UnavailableError) else "1")


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, None),
        ("Bearer x", None),
        (
            "basic YTpi",
            'Basic realm="omnilab", error="invalid_client", error_description="The \'backend\' secret ended: caf?."',
        ),
    ],
)
def test_oauth_errors(authorization: str | None, challenge: str | None) -> None:
    refusal = TokenRefusedError(
        "secret_expired", 'The "backend" secret ended: café.', subject=Subject("ten_1", "acme", "cli_1")
    )
    world = World([operation(method="POST", error_format="oauth", handler=raising(refusal))])
    headers = [("Authorization", authorization)] if authorization else []
    answer = world.send("POST", "/v1/things:list", headers=headers)
    assert answer.status == 401
    assert answer.header("www-authenticate") == challenge
    assert answer.json == {
        "error": "invalid_client",
        "error_description": "The 'backend' secret ended: caf?.",
        "error_uri": f"{DOCS}/errors/secret_expired",
        "request_id": answer.header("x-request-id"),
    }
    assert world.seen.exchanges[0].subject == refusal.subject
    assert world.seen.exchanges[0].code == "secret_expired"


def test_a_method_error_of_the_token_call_is_an_oauth_error() -> None:
    answer = World([operation(method="POST", error_format="oauth")]).send("GET", "/v1/things:list")
    assert (answer.status, answer.header("allow")) == (405, "POST")
    assert answer.json["error"] == "invalid_request"


def test_quota_headers_go_out_once() -> None:
    header = (b"ratelimit", b'"client";r=0;t=30')

    async def handler(exchange: Exchange) -> None:
        exchange.extra_headers.append(header)
        error = LimitError("quota_exceeded", "Wait.", retry_after_seconds=30)
        error.headers = (header,)  # type: ignore[attr-defined]
        raise error

    answer = World([operation(handler=handler)]).send("GET", "/v1/things:list")
    assert (answer.status, answer.header("retry-after")) == (429, "30")
    assert answer.header("ratelimit") == '"client";r=0;t=30'


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("req-1:abc", "req-1:abc"),
        ("Root=1-67891233-abcdef012345678912345678", "Root=1-67891233-abcdef012345678912345678"),
        ("has space", None),
        ("x" * 129, None),
        ("", None),
        ("caf\xe9", None),
        ("omni_dev_" + "aB3" * 14 + "x", "omni_dev_[masked]"),
    ],
)
def test_a_callers_own_request_id_is_kept_beside_ours(sent: str, kept: str | None) -> None:
    world = World([operation()])
    answer = world.send("GET", "/v1/things:list", headers=[("X-Request-Id", sent)])
    assert answer.header("x-request-id") != sent
    check_common(answer)
    assert world.seen.exchanges[0].caller_request_id == kept


def test_a_repeated_header_is_refused() -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.header(b"authorization")

    world = World([operation(handler=handler)])
    headers = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
    answer = world.send("GET", "/v1/things:list", headers=headers)
    assert (answer.status, answer.json["code"]) == (400, "request_malformed")
    assert "Authorization" in answer.json["detail"]


@pytest.mark.parametrize("body", [b"x" * 16_385, [b"x" * 9000, b"x" * 9000, b"x" * 9000]])
def test_a_large_body_is_refused(body: bytes | list[bytes]) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.body()

    answer = World([operation(method="POST", handler=handler)]).send("POST", "/v1/things:list", body=body)
    assert (answer.status, answer.json["code"]) == (413, "body_too_large")
    assert answer.header("connection") == "close"


def test_a_body_is_read_whole_and_once() -> None:
    async def handler(exchange: Exchange) -> None:
        assert await exchange.body() == await exchange.body()
        await exchange.answer(200, await exchange.body())

    world = World([operation(method="POST", handler=handler)])
    assert world.send("POST", "/v1/things:list", body=[b"a", b"b", b"", b"c"]).body == b"abc"
    assert world.send("POST", "/v1/things:list", body=b"x" * 16_384).status == 200


def test_nobody_is_answered_who_has_gone() -> None:
    async def gone(exchange: Exchange) -> None:
        await exchange.receive()
        await exchange.body()

    world = World([operation(method="POST", handler=gone)])
    assert world.send("POST", "/v1/things:list").status == 0
    assert world.seen.exchanges[0].status == 499


def test_strangers_pages_are_not_recorded_but_mistyped_calls_are() -> None:
    world = World([operation()])
    assert world.send("GET", "/wp-login.php").status == 404
    assert world.recorder.refusals == []
    world.send("GET", "/v1/thing:list")
    assert [error.code for _, _, error in world.recorder.refusals] == ["not_found"]


def test_health_answers_on_any_host() -> None:
    state = {"ready": True}

    async def ready() -> bool:
        if not state["ready"]:
            raise RuntimeError("no database")
        return True

    world = World(health_operations(ready), environment="production")
    any_host = [("Host", "10.0.0.7:8080")]
    assert world.send("GET", "/healthz", headers=any_host).status == 200
    assert world.send("GET", "/readyz", headers=any_host).status == 200
    state["ready"] = False
    answer = world.send("GET", "/readyz", headers=any_host)
    assert (answer.status, answer.json) == (503, {"status": "not_ready"})
    assert world.send("GET", "/healthz", headers=any_host).status == 200


def test_unknown_hosts_are_told_what_the_proxy_must_do() -> None:
    world = World([operation()], environment="production")
    for path in ("/v1/things:list", "/docs/errors/"):
        answer = world.send("GET", path, headers=[("Host", "backend:8080")])
        assert (answer.status, answer.json["code"]) == (421, "host_unknown")
        assert "proxy_set_header Host $host" in answer.json["detail"]
        check_common(answer)


def test_websockets_are_closed() -> None:
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(World([]).app({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1000}]


def test_two_operations_cannot_share_a_path_and_method() -> None:
    with pytest.raises(ValueError, match="routed twice"):
        World([operation(), operation()])


def test_an_error_outside_the_table_is_a_503_in_general_words() -> None:
    world = World([operation(handler=raising(RequestError("made_up", "detail of the error")))])
    answer = world.send("GET", "/v1/things:list")
    assert (answer.status, answer.json["code"]) == (503, "temporarily_unavailable")
    assert "detail of the error" not in answer.json["detail"]


def test_whatever_may_be_sent_again_says_when() -> None:
    for code in ("idempotency_in_progress", "quota_exceeded", "temporarily_unavailable"):
        answer = World([operation(handler=raising(ConflictError(code, "Wait.")))]).send("GET", "/v1/things:list")
        assert answer.header("retry-after") == "1"
