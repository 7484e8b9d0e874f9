"""One HTTP connection: uvicorn's, bounded against slow and greedy senders, and with a stop that cuts nothing."""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

# The head of a request: path, query and headers. A token is about 1 KiB; proxies add a few more.
HEAD_BYTES = 64 * 1024
# For a whole request, head and body, from its first byte to its last.
REQUEST_SECONDS = 30.0
# A stop closes a connection only after it has been silent for so long: what its client has sent meanwhile is answered.
LINGER_SECONDS = 0.5
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """See the module. Whole requests in one piece, nearly all of them, pay two flags for it."""

    unfinished = False
    draining = False
    head_bytes = 0
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        # A connection that never says a word ends like one that has fallen silent.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.unfinished or self.deadline is not None:
            self._bound(len(data))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.unfinished = True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.unfinished = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.draining:
            # Told before the answer's head is written: the client reads `Connection: close` and sends no more here.
            self.cycle.keep_alive = False

    def _bound(self, count: int) -> None:
        """A request is on its way in pieces, or has just come to its end: bound its head's size and its time."""
        if not self.unfinished:
            self._forget_deadline()
            return
        if self.deadline is None:
            self.head_bytes = 0
            self.deadline = self.loop.call_later(REQUEST_SECONDS, self._end, _TOO_SLOW)
        if "path" not in cast("dict[str, object]", self.scope):  # the head is not complete yet
            self.head_bytes += count
            if self.head_bytes > HEAD_BYTES:
                self._end(_TOO_LARGE)

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request; uvicorn's type leaves that out
        return cycle is not None and not cycle.response_complete

    def _end(self, answer: bytes) -> None:
        self._forget_deadline()
        if self.transport.is_closing():
            return
        # Once the app has the request the answer is its own to give; it then sees a disconnect.
        if not self._answering():
            self.transport.write(answer)
        self.transport.close()

    def _forget_deadline(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Begin the stop of this connection: answer what is here or on its way, then close."""
        self.draining = True
        if self._answering():
            self.cycle.keep_alive = False
        self.loop.call_later(LINGER_SECONDS, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if not (self.unfinished or self._answering() or self.transport.is_closing()):
            self.transport.close()
