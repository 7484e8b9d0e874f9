"""Reading from a replica of PostgreSQL without ever reading the past.

Promises that a read sees all that was committed, and answered, before it began, through whichever node: it asks the
primary how far its log has come, and reads from the replica once that has been replayed there. A replica that lags or
does not answer costs one short wait; then the primary is read, and the replica is left alone for a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import text

from omnilab.clock import Clock
from omnilab.errors import UnavailableError
from omnilab.storage.database import Database, Reader
from omnilab.storage.statement import Row, Statement

T = TypeVar("T")

# A replica near by is a few milliseconds behind.
CATCH_UP_SECONDS = 0.05
LEFT_ALONE_SECONDS = 1.0
_PAUSE_SECONDS = 0.002
_WRITTEN = Statement(text("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint"))
_REPLAYED = Statement(text("SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint"))


class SharedRead(Generic[T]):
    """Many ask at once; they share one read that began after they asked."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._next: asyncio.Task[T] | None = None
        self._running: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What a read that begins after this call gives. Raises what it raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return await asyncio.shield(self._next)

    async def _after(self, running: asyncio.Task[T] | None) -> T:
        if running is not None:
            await asyncio.wait([running])
        # Who asks from now on waits for the next one.
        self._running, self._next = self._next, None
        return await self._read()


class ReplicaReader:
    """A reader over a replica and its primary. reads, fallbacks: how many went where so far."""

    def __init__(self, primary: Reader, replica: Database, clock: Clock) -> None:
        self._primary = primary
        self._replica = replica
        self._clock = clock
        self._written = SharedRead(lambda: _position(primary, _WRITTEN))
        self._replaying = SharedRead(lambda: _position(replica, _REPLAYED))
        self._replayed = -1
        self._left_alone_until = float("-inf")
        self.reads = 0
        self.fallbacks = 0

    async def fetch(self, statement: Statement, *args: object) -> list[Row]:
        if self._clock.monotonic() >= self._left_alone_until:
            try:
                if await self._has_replayed(await self._written.get()):
                    rows = await self._replica.fetch(statement, *args)
                    self.reads += 1
                    return rows
            except UnavailableError:
                pass  # if it is the primary that is away, the read below says so
            self._left_alone_until = self._clock.monotonic() + LEFT_ALONE_SECONDS
        self.fallbacks += 1
        return await self._primary.fetch(statement, *args)

    async def fetch_one(self, statement: Statement, *args: object) -> Row | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None

    async def _has_replayed(self, position: int) -> bool:
        until = self._clock.monotonic() + CATCH_UP_SECONDS
        while self._replayed < position:
            self._replayed = max(self._replayed, await self._replaying.get())
            if self._replayed < position:
                if self._clock.monotonic() >= until:
                    return False
                await asyncio.sleep(_PAUSE_SECONDS)
        return True


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica of the database, and how it is read."""

    database: Database
    reader: ReplicaReader


async def _position(reader: Reader, statement: Statement) -> int:
    row = await reader.fetch_one(statement)
    if row is None or row[0] is None:
        raise UnavailableError("the replica is not one: it replays no log")
    return int(row[0])
