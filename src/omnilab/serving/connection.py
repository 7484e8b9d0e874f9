"""One HTTP/1.1 connection: bounded against slow and greedy senders, and with a stop that cuts nothing.

The parser is llhttp (httptools) with no leniency; everything else is what a service behind a load balancer needs and
no more: keep-alive, pipelining in order, `Expect: 100-continue`, one write an answer. A request is handed to the
application whole, so a slow sender costs a buffer and never a task. docs/adr/0013 has the figures and the dangers.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections import deque
from typing import Any, Protocol, cast

import httptools
import structlog
from starlette.types import ASGIApp

from omnilab.serving.request import Request, scope_of

# The head of a request: path, query and headers. A token is about 1 KiB; proxies add a few more.
HEAD_BYTES = 64 * 1024
# A longer head is not kept for the next request.
KNOWN_BYTES = 4 * 1024
# What is kept of a body. The application refuses more than 16 KiB; it is shown enough to see that it is more.
BODY_BYTES = 32 * 1024
# For a whole request, head and body, from its first byte to its last.
REQUEST_SECONDS = 30.0
# Longer than the 60 s for which load balancers keep a connection: the side that asks should be the one to close.
IDLE_SECONDS = 75.0
# A stop closes a connection only after it has been silent for so long: what its client has sent meanwhile is answered.
LINGER_SECONDS = 1.0
# Requests that one client may have waiting behind the one that is being answered.
PIPELINED = 8

_log = structlog.get_logger("omnilab.serving")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY = b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_MALFORMED = b"HTTP/1.1 400 Bad Request" + _EMPTY
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large" + _EMPTY
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout" + _EMPTY
_FAILED = b"HTTP/1.1 500 Internal Server Error" + _EMPTY
_NEVER = float("inf")
_NO_REQUEST: dict[str, Any] = {"extensions": {}}
_LOOKED_AT = frozenset([b"content-length", b"expect"])


class Host(Protocol):
    """What a connection needs of the server it belongs to."""

    app: ASGIApp
    date: bytes
    draining: bool
    running: int
    connections: set[Connection]


class Connection(asyncio.Protocol):
    """See the module. `deadline` is in the loop's time; the server looks at it once a second and calls `overdue`."""

    __slots__ = (
        "_answering", "_body", "_declared", "_draining", "_expects", "_head_bytes", "_headers", "_host", "_known_bytes",
        "_known_head", "_known_notes", "_known_scope", "_loop", "_parser", "_receiving", "_transport", "_url",
        "_waiting", "_writing_paused", "deadline", "deaf", "template",
    )  # fmt: skip

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._answering: Request | None = None
        self._waiting: deque[Request] = deque()
        self._receiving = self._draining = self._writing_paused = False
        # The head of the last request, and how long that was with its body; -1: none is known.
        self._known_head = b""
        self._known_bytes = -1
        self._known_scope: dict[str, Any] = {}
        self._known_notes: dict[str, Any] = {}
        # Nothing more is read of this connection: its last request is here, or it is broken.
        self.deaf = False
        self.deadline = _NEVER
        self.template: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        self._host.connections.add(self)
        self.template = scope_of(self._transport)
        self.deadline = self._loop.time() + IDLE_SECONDS
        if self._host.draining:
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's shape
        self._host.connections.discard(self)
        self.deaf = True
        self._waiting.clear()
        if self._answering is not None:
            self._answering.leave()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.deadline = self._loop.time() + IDLE_SECONDS

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._answering is not None:
            self.deadline = _NEVER
            self._answering.go_on()
        else:
            self._next()

    def eof_received(self) -> bool:
        self._draining = True
        return self._answering is not None  # a client may close its side first and still wait for the answer

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        if len(data) == self._known_bytes and data.startswith(self._known_head):
            self._hand_over_known(data)
            return
        begins = not self._receiving and self._answering is None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request itself is answered as any other; the protocol it offers to change to is not ours.
            self.deaf = True
        except httptools.HttpParserError:
            self._refuse(_MALFORMED)
            return
        if self._receiving:
            self._bound(len(data))
        elif begins:
            self._know(data)

    def _bound(self, count: int) -> None:
        """A request is on its way in pieces: bound the size of its head, and its time."""
        if self._head_bytes < 0:  # the head is complete
            return
        self._head_bytes += count
        if self._head_bytes > HEAD_BYTES:
            self._refuse(_TOO_LARGE)

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        self._known_bytes = -1
        self._url = b""
        self._body = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._declared = 0
        self._expects = False
        self._receiving = True
        if self._answering is None:
            self.deadline = self._loop.time() + REQUEST_SECONDS

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._headers.append((name, value))
        if name in _LOOKED_AT:
            if name == b"expect":
                self._expects = value.lower() == b"100-continue"
            else:
                self._declared = int(value)  # digits only: the parser has seen to that

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        if self._declared > BODY_BYTES:
            self._hand_over(last=True)
        elif self._expects and self._answering is None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self.deaf:
            return
        self._body = self._body + body if self._body else body
        if len(self._body) > BODY_BYTES:
            self._hand_over(last=True)

    def on_message_complete(self) -> None:
        if not self.deaf:
            self._hand_over(last=not self._parser.should_keep_alive())

    # From request to answer.

    def _hand_over(self, *, last: bool) -> None:
        """A request is as complete as it will be: answer it, or let it wait for the one before it."""
        self._receiving = False
        self.deaf = last
        method = self._parser.get_method().decode("ascii")
        request = Request(self, self._body, last=last)
        if not request.address(method, self._url, self._headers, self._parser.get_http_version()):
            self._refuse(_MALFORMED)
        else:
            self._take(request)

    def _take(self, request: Request) -> None:
        if self._answering is None and not self._writing_paused:
            self._answer(request)
        else:
            self._waiting.append(request)
            if len(self._waiting) >= PIPELINED:
                self._transport.pause_reading()

    def _know(self, data: bytes) -> None:
        """These bytes began where a request begins: if they were just one, the next with its head needs no parser.

        A client repeats its head on a connection that it keeps, and the same bytes at such a place mean the same.
        """
        request, body_at = self._answering, data.find(b"\r\n\r\n", 0, KNOWN_BYTES) + 4
        if request is not None and len(data) == body_at + self._declared and not self._expects:
            self._known_head, self._known_bytes = data[:body_at], len(data)
            self._known_scope = request.scope | _NO_REQUEST
            self._known_notes = request.notes = {}

    def _hand_over_known(self, data: bytes) -> None:
        request = Request(self, data[len(self._known_head) :], last=False)
        request.address_as(self._known_scope, self._known_notes)
        self._take(request)

    def _answer(self, request: Request) -> None:
        self._answering = request
        self.deadline = _NEVER
        self._host.running += 1
        request.task = self._loop.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            await self._host.app(request.scope, request.receive, request.send)
        except Exception as error:  # noqa: BLE001 - the application answers its own errors; this is a defect of ours
            _log.error("application_crashed", exc_info=error)
        finally:
            self._host.running -= 1
            request.forget()
            if not request.complete and not self._transport.is_closing():
                # An answer that has begun cannot be mended: cutting it is the one honest sign left.
                if request.begun:
                    self._transport.abort()
                else:
                    self._transport.write(_FAILED)
                    self._transport.close()

    def date(self) -> bytes:
        """The `Date` line of an answer (RFC 9110 §6.6.1), the same for all of one second."""
        return self._host.date

    def ends_with(self, request: Request) -> bool:
        """Whether this request's answer is the last of the connection. Told to the client before it is closed."""
        return request.last or (self._draining and not self._waiting)

    def write(self, data: bytes) -> bool:
        """Send; False when the client does not read and no more should be written for now."""
        if not self._transport.is_closing():
            self._transport.write(data)
        return not self._writing_paused

    def answered(self, *, close: bool) -> None:
        """An answer is complete: close, or turn to the next request."""
        self._answering = None
        if close:
            self._close_gently()
        else:
            self._next()

    def _next(self) -> None:
        if self._waiting:
            if not self._writing_paused:
                request = self._waiting.popleft()
                self._transport.resume_reading()
                self._answer(request)
        else:
            self.deadline = self._loop.time() + (REQUEST_SECONDS if self._receiving else IDLE_SECONDS)

    # Ends.

    def _close_gently(self) -> None:
        """Close after the last answer. Closed while input is unread, TCP would reset and the answer could be lost."""
        self.deaf = True
        self._waiting.clear()
        if self._transport.is_closing():
            return
        if self._declared <= BODY_BYTES and len(self._body) <= BODY_BYTES:
            self._transport.close()
            return
        self._transport.resume_reading()
        self._transport.write_eof()
        self._loop.call_later(1.0, self._transport.close)

    def _refuse(self, answer: bytes) -> None:
        """End a connection whose input is no request. What is being answered is finished first."""
        self.deaf = True
        self._receiving = False
        if self._answering is not None or self._waiting:
            last = self._waiting[-1] if self._waiting else self._answering
            assert last is not None
            last.last = True
        elif not self._transport.is_closing():
            self._transport.write(answer)
            self._transport.close()

    def overdue(self) -> None:
        """The deadline has passed: an answer that is not read, a request that does not come to its end, or silence."""
        if self._writing_paused:
            self._transport.abort()
        elif self._receiving:
            self._refuse(_TOO_SLOW)
        else:
            self._close_if_silent()

    def shutdown(self) -> None:
        """Begin the stop of this connection: answer what is here or on its way, then close."""
        self._draining = True
        self._loop.call_later(LINGER_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self._receiving or self._answering or self._waiting or self._transport.is_closing():
            return
        # After a moment in which the worker stood still, this timer may come before what the socket has to tell.
        if _unread(self._transport):
            self._loop.call_later(LINGER_SECONDS, self._close_if_silent)
        else:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection: its time to finish is over."""
        self._transport.abort()


def _unread(transport: asyncio.Transport) -> int:
    """How many bytes have arrived and wait to be read. Closing over them would reset the connection."""
    here: int = struct.unpack("i", fcntl.ioctl(transport.get_extra_info("socket"), termios.FIONREAD, bytes(4)))[0]
    return here
