"""The connections that one process reads over.

asyncpg's own pool clears a session after each use, a round trip more for every read, and waits for a query that it has
given up to be cancelled, which over a network that has vanished is for ever. Reads leave nothing behind in a session,
so there is nothing to clear; and a connection on which a read failed is ended at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = Any  # asyncpg comes without types


class ReadConnections:
    """At most `size` connections, opened when they are first needed and again after they were lost."""

    def __init__(self, url: str, *, size: int, connect_seconds: float, read_seconds: float) -> None:
        self._url = url
        self._size = size
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._idle: list[Connection] = []
        self._open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def fetch(self, sql: str, bound: Sequence[Any]) -> list[Any]:
        """The rows of a query. Raises what asyncpg raises, TimeoutError and OSError."""
        connection = await self._take()
        try:
            rows: list[Any] = await connection.fetch(sql, *bound)
        except BaseException:
            # Whether the session still waits for something nobody knows.
            connection.terminate()
            self._has_closed()
            raise
        self._idle.append(connection)
        self._wake_next()
        return rows

    def close(self) -> None:
        """End all that are idle; those in use end with their read."""
        while self._idle:
            self._idle.pop().terminate()

    async def _take(self) -> Connection:
        while True:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._open -= 1
            if self._open < self._size:
                return await self._connect()
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                async with asyncio.timeout(self._read_seconds):
                    await waiting
            except BaseException:
                if waiting.done() and not waiting.cancelled():
                    self._wake_next()  # it was this one's turn, and it will not take it
                raise

    async def _connect(self) -> Connection:
        self._open += 1
        try:
            return await asyncpg.connect(
                self._url,
                timeout=self._connect_seconds,
                command_timeout=self._read_seconds,
                server_settings={"application_name": "omnilab"},
            )
        except BaseException:
            self._has_closed()
            raise

    def _has_closed(self) -> None:
        self._open -= 1
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
