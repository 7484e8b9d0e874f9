"""One request of a connection as ASGI sees it, and its answer on the way back: head and body in one write."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote

import httptools
from starlette.types import Message

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus if status >= 200
}
_CLOSE = (b"connection", b"close")
_CLOSE_LINE = b"connection: close\r\n"
_CHUNKED_LINE = b"transfer-encoding: chunked\r\n"
_BODILESS = (204, 304)
_NO_SCOPE: dict[str, Any] = {}
_line = b": ".join
_SPLIT = "a header of the answer holds a line break"
#: An ASGI extension of this server: the request itself, with its body read, and an answer given in one call.
WHOLE = "omnilab.whole"


def scope_of(transport: asyncio.Transport) -> dict[str, Any]:
    """What all requests of a connection have in common."""
    peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": "1.1",
        "server": own[:2] if isinstance(own, tuple) else None,
        "client": peer[:2] if isinstance(peer, tuple) else None,
        "scheme": "http",
        "root_path": "",
    }


class Line(Protocol):
    """What a request needs of the connection it came over."""

    template: dict[str, Any]

    def date(self) -> bytes: ...

    def ends_with(self, request: Request) -> bool: ...

    def write(self, data: bytes) -> bool: ...

    def answered(self, *, close: bool) -> None: ...


class Request:
    """A whole request. `last`: the connection ends with its answer. `begun`, `complete`: how far the answer is.

    notes: what the application keeps of this head for the next request that repeats it; None where none will.
    """

    __slots__ = (
        "_body", "_chunked", "_connection", "_gone", "_head", "_received", "_resumed", "begun", "complete", "last",
        "notes", "scope", "task",
    )  # fmt: skip

    def __init__(self, connection: Line, body: bytes, *, last: bool) -> None:
        self._connection = connection
        self._body = body
        self._head: Message | None = None
        self._chunked = False
        self._received = False
        self._gone: asyncio.Future[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self.begun = self.complete = False
        self.last = last
        self.notes: dict[str, Any] | None = None
        self.scope: dict[str, Any] = {}
        self.task: asyncio.Task[None] | None = None

    def address(self, method: str, url: bytes, headers: list[tuple[bytes, bytes]], version: str) -> bool:
        """Fill the scope; False for a target that cannot be read (RFC 9112 §3.2)."""
        if url[:1] != b"/":
            try:
                parsed = httptools.parse_url(url)
            except httptools.HttpParserInvalidURLError:
                return False
            url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        raw_path, _, query = url.partition(b"?")
        path = raw_path.decode("latin-1")
        scope = self._connection.template.copy()
        scope["method"] = method
        scope["headers"] = headers
        scope["raw_path"] = raw_path
        scope["path"] = unquote(path) if "%" in path else path
        scope["query_string"] = query
        scope["extensions"] = {WHOLE: self}
        if version != "1.1":
            scope["http_version"] = version
            self.last = True
        self.scope = scope
        return True

    def address_as(self, scope: dict[str, Any], notes: dict[str, Any]) -> None:
        """Fill the scope as that of a request with the same head, whose notes are at hand."""
        self.notes = notes
        self.scope = scope = scope.copy()
        scope["extensions"] = {WHOLE: self}

    def forget(self) -> None:
        """The application has ended. The scope names this request: kept, each would wait for the garbage collector,
        which was measured to stop a loaded worker for 30 ms every second."""
        self.scope = _NO_SCOPE
        self.task = None

    def whole_body(self) -> bytes:
        """The whole body. Instead of `receive`."""
        self._received = True
        return self._body

    def answer(self, status: int, fixed: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Give the whole answer in one write. Instead of two messages to `send`.

        fixed: header lines that hold nothing of the request, each with its line end; headers: all others.
        """
        lines = [_STATUS_LINES[status], self._connection.date(), fixed]
        if headers:
            text = b"\r\n".join(map(_line, headers))
            if text.count(b"\n") != len(headers) - 1 or text.count(b"\r") != len(headers) - 1:
                raise RuntimeError(_SPLIT)
            lines += text, b"\r\n"
        if _CLOSE in headers:
            self.last = True
        elif self._connection.ends_with(self):
            self.last = True
            lines.append(_CLOSE_LINE)
        lines.append(b"content-length: %d\r\n\r\n" % len(body))
        if self.scope["method"] != "HEAD":
            lines.append(body)
        self.begun = True
        self._connection.write(b"".join(lines))
        self._complete()

    async def receive(self) -> Message:
        """The whole body at once; asked again, it waits until the client has gone or the answer is complete."""
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        if not self.complete and not self._connection_lost:
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone
        return {"type": "http.disconnect"}

    @property
    def _connection_lost(self) -> bool:
        return self._gone is not None and self._gone.done()

    def leave(self) -> None:
        """The client has gone."""
        if self._gone is None:
            self._gone = asyncio.get_running_loop().create_future()
        if not self._gone.done():
            self._gone.set_result(None)
        self.go_on()

    def go_on(self) -> None:
        """The client reads again, or never will."""
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    async def send(self, message: Message) -> None:
        """ASGI's `send`. The head waits for the first part of the body, so that a usual answer is one write."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        data = self._part(body, more=more) if self.begun else self._first(body, more=more)
        flowing = self._connection.write(data)
        if more:
            if not flowing and not self._connection_lost:
                self._resumed = asyncio.get_running_loop().create_future()
                await self._resumed
            return
        self._complete()

    def _complete(self) -> None:
        self.complete = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        self._connection.answered(close=self.last)

    def _first(self, body: bytes, *, more: bool) -> bytes:
        head = self._head
        if head is None:
            raise RuntimeError("an answer begins with http.response.start")
        self.begun = True
        headers = head["headers"]
        status: int = head["status"]
        lines = [_STATUS_LINES[status], self._connection.date()]
        lines += [b"%b: %b\r\n" % header for header in headers]
        if _CLOSE in headers:
            self.last = True
        elif self._connection.ends_with(self):
            self.last = True
            lines.append(_CLOSE_LINE)
        if status not in _BODILESS and not any(name == b"content-length" for name, _ in headers):
            self._chunked = True
            lines.append(_CHUNKED_LINE)
        text = b"".join(lines)
        # A line break in a value would let it write headers of its own (response splitting).
        if text.count(b"\n") != len(lines) or text.count(b"\r") != len(lines):
            self.begun = False
            raise RuntimeError(_SPLIT)
        if self.scope["method"] == "HEAD":
            return text + b"\r\n"
        return text + b"\r\n" + self._part(body, more=more)

    def _part(self, body: bytes, *, more: bool) -> bytes:
        if self.scope["method"] == "HEAD":
            return b""
        if not self._chunked:
            return body
        part = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return part if more else part + b"0\r\n\r\n"
