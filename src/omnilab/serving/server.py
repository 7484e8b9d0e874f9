"""The server of one worker: accepts, keeps time for its connections, and stops without cutting a request."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from email.utils import formatdate

from starlette.types import ASGIApp

from omnilab.serving.connection import Connection
from omnilab.serving.listening import BACKLOG, BACKLOG_SECONDS, waiting_at

# A worker that has no file left to open accepts nothing, and stops all the same.
_BACKLOG_LOOKS = 100
_LOOK_AGAIN_SECONDS = 0.02
LOOK_SECONDS = 1.0  # at deadlines and the clock


class Server:
    """Serves an ASGI application on a listening socket. For what connections read of it see `connection.Host`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        stopping: asyncio.Event | None = None,
        drain_seconds: float = 30.0,
        each_second: Callable[[], None] = lambda: None,
    ) -> None:
        """stopping: set from outside instead of by `stop`, from before there is a server on."""
        self.app = app
        self.connections: set[Connection] = set()
        self.running = 0  # requests that are being answered, also those whose client has gone
        self.date = b""
        self.draining = False
        self._drain_seconds = drain_seconds
        self._each_second = each_second
        self._stopping = stopping or asyncio.Event()

    def stop(self) -> None:
        """Begin to stop; `serve` returns when everything is answered or the time to drain is over."""
        self._stopping.set()

    async def serve(self, listener: socket.socket, *, ready: Callable[[], None] = lambda: None) -> None:
        """Accept and answer until `stop`."""
        loop = asyncio.get_running_loop()
        clock = loop.create_task(self._keep_time(loop))
        server = await loop.create_server(lambda: Connection(self, loop), sock=listener, backlog=BACKLOG)
        try:
            ready()
            await self._stopping.wait()
            await asyncio.sleep(BACKLOG_SECONDS)
            for _ in range(_BACKLOG_LOOKS):
                if not waiting_at(listener):
                    break
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        finally:
            server.close()
            await self._drain(loop)
            clock.cancel()

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        self.draining = True
        for connection in list(self.connections):
            connection.shutdown()
        patience = loop.time() + self._drain_seconds
        while True:  # they end in many ways; and what was accepted last becomes a connection only now
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            if not (self.connections or self.running) or loop.time() >= patience:
                break
        for connection in list(self.connections):
            connection.abort()

    async def _keep_time(self, loop: asyncio.AbstractEventLoop) -> None:
        """Once a second: the `Date` line, and connections whose deadline has passed. No timers of their own: a timer
        set and taken back for each request was 3 % of a token's time."""
        while True:
            self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
            now = loop.time()
            for connection in [each for each in self.connections if each.deadline < now]:
                connection.overdue()
            self._each_second()
            await asyncio.sleep(LOOK_SECONDS)
