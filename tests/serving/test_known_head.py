"""A connection that knows its client's head skips the parser for it; whatever comes, that may never be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from omnilab.serving.connection import Connection
from omnilab.serving.request import WHOLE


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /v1/oauth:token?q HTTP/1.1", b"Host: x", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
MESSAGES = (
    GET, post(b"abcd"), post(b"efgh"), post(b""), post(b"\r\n\r\n"), post(b"0\r\n\r\n"), post(GET),
    post(b"ab", b"x: y"), post(b"abcd", b"expect: 100-continue"), post(b"abcd", b"connection: close"),
    post(b"a" * 40_000), b"\r\n", b"\r\n\r\n", b"\r\n" + GET, b"nonsense\r\n\r\n",
    CHUNKED, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", CHUNKED + b"0\r\n\r\n",
    b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", b"GET http://x/a%20b HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
)  # fmt: skip


class Transport:
    """Writes down what a connection does with it."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.closing = False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return "127.0.0.1", 1

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.log.append(data)

    def close(self) -> None:
        self.closing = True
        self.log.append("close")

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.log.append(name)


class Parsing(Connection):
    """Every request is parsed."""

    __slots__ = ()

    def _know(self, data: bytes) -> None:
        pass


async def said(kind: type[Connection], steps: Sequence[tuple[bytes, bool]]) -> list[object]:
    """What a connection hands over and answers; each piece with whether all before it is answered first."""
    transport, free = Transport(), asyncio.Event()

    async def app(scope: dict[str, Any], *_: object) -> None:
        request = scope.pop("extensions")[WHOLE]
        transport.log.append((dict(scope), request.whole_body(), request.last))
        await free.wait()
        request.answer(200, b"", [], b"ok")
        scope["path"] = scope["headers"] = None  # an application may do with it what it likes

    host = SimpleNamespace(app=app, date=b"", draining=False, running=0, connections=set())
    connection = kind(cast("Any", host), asyncio.get_running_loop())
    connection.connection_made(cast("asyncio.BaseTransport", transport))
    for piece, answered in (*steps, (b"", True)):
        if answered:
            free.set()
        while answered and host.running:
            await asyncio.sleep(0)
        free.clear()
        connection.data_received(piece)
        await asyncio.sleep(0)
    assert host.running == 0
    return transport.log


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[bytes, bool]]:
    """A few messages, most of them again and again, as whole reads, cut anywhere, or run together."""
    few = draw(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3))
    steps, rest = [], b""
    for message in draw(st.lists(st.sampled_from(few), max_size=8)):
        cut = draw(st.sampled_from(["nowhere", "nowhere", "somewhere", "behind the next"]))
        piece, rest = rest + message, b""
        if cut == "somewhere":
            at = draw(st.integers(0, len(piece)))
            steps.append((piece[:at], draw(st.booleans())))
            piece = piece[at:]
        if cut == "behind the next":
            rest = piece
        else:
            steps.append((piece, draw(st.booleans())))
    return [*steps, (rest, True)]


@example([(GET, False), (b"\r\n\r\n", False), (b"\r\n\r\n", True)])
@example([(GET[:2], True), (GET[2:], True), (GET[2:], True)])
@settings(max_examples=1000)
@given(conversations())
def test_nobody_can_tell(steps: list[tuple[bytes, bool]]) -> None:
    assert asyncio.run(said(Connection, steps)) == asyncio.run(said(Parsing, steps))


def test_a_repeated_head_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Connection] = []
    began = Connection.on_message_begin

    def begin(connection: Connection) -> None:
        parsed.append(connection)
        began(connection)

    monkeypatch.setattr(Connection, "on_message_begin", begin)
    log = asyncio.run(said(Connection, [(post(body), True) for body in (b"abcd", b"efgh", b"ijkl", b"mn")]))
    assert [entry[1] for entry in log if isinstance(entry, tuple)] == [b"abcd", b"efgh", b"ijkl", b"mn"]
    assert len(parsed) == 2
