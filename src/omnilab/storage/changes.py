"""The change feed: every provisioning change, in order, to every process within a fraction of a second.

A process may decide from memory only while it is sure to have seen all changes: for 0.8 s of monotonic time counted
from before the confirming query was sent (the lease). Later it must ask again, and if it cannot, it must not decide.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from sqlalchemy import BigInteger, bindparam, delete, func, insert, select

from omnilab.clock import Clock
from omnilab.errors import UnavailableError
from omnilab.storage.database import Database, Transaction
from omnilab.storage.group_commit import SharedFuture
from omnilab.storage.statement import Statement
from omnilab.storage.tables import PLATFORM_TENANT, changes

LEASE_SECONDS = 0.8
POLL_SECONDS = 0.1
# Longer than a read takes to fail, so that one that is tried again and again keeps the knowledge alive.
FAILING_SECONDS = 3.0
KEPT_MS = 24 * 3600 * 1000
_PAGE = 1000
# Further than any process can be ahead of a database that was put in place of the one it knew.
FAR = 1_000_000_000

# Two sub-queries: asked for both at once, SQLite would read the whole table.
_ENDS = Statement(
    select(
        select(func.min(changes.c.position)).scalar_subquery(), select(func.max(changes.c.position)).scalar_subquery()
    )
)
_AFTER = Statement(
    select(changes.c.position, changes.c.tenant_id, changes.c.kind, changes.c.client_id)
    .where(changes.c.position > bindparam("position"))
    .order_by(changes.c.position)
    .limit(_PAGE),
    "position",
)
_APPEND = Statement(
    insert(changes).values(
        tenant_id=bindparam("new_tenant_id"),
        kind=bindparam("new_kind"),
        client_id=bindparam("new_client_id"),
        occurred_at=bindparam("now_ms"),
    ),
    "new_tenant_id",
    "new_kind",
    "new_client_id",
    "now_ms",
)
_EMPTY = Statement(delete(changes))
_PLACE = Statement(insert(changes), "position", "tenant_id", "kind", "client_id", "occurred_at")
_COUNT_ON = Statement(
    select(func.setval(func.pg_get_serial_sequence("changes", "position"), bindparam("newest", type_=BigInteger))),
    "newest",
)
# The newest change always stays, so that a process can tell where the feed stands.
_PRUNE = Statement(
    delete(changes).where(
        changes.c.occurred_at < bindparam("before"),
        changes.c.position < select(func.max(changes.alias().c.position)).scalar_subquery(),
    ),
    "before",
)


class Change(NamedTuple):
    """Something was changed. `kind` is `tenant` (and all in it), `client`, `keys`, or `token`: then a token was revoked
    and its id stands in `client_id`."""

    position: int
    tenant_id: str
    kind: str
    client_id: str | None


async def append_change(
    tx: Transaction, tenant_id: str, kind: str, client_id: str | None = None, *, now_ms: int
) -> None:
    """Announce a change in its own transaction, which `Database.change` runs: positions have to appear in order."""
    if not tx.changing:
        raise RuntimeError("a change is announced only in a unit that Database.change runs")
    await tx.execute(_APPEND, tenant_id, kind, client_id, now_ms)


async def restart_feed(tx: Transaction, dialect: str, *, now_ms: int) -> None:
    """Have every process that follows start over: one change, far beyond any it can have seen, and none before it."""
    row = await tx.fetch_one(_ENDS)
    newest = row[1] or 0 if row else 0
    await tx.execute(_EMPTY)
    await tx.execute(_PLACE, newest + FAR, PLATFORM_TENANT, "tenant", None, now_ms)
    if dialect == "postgresql":  # SQLite counts on from the highest number it was given
        await tx.fetch(_COUNT_ON, newest + FAR)


async def prune_changes(tx: Transaction, now_ms: int) -> int:
    """Forget changes older than a day; a process that is older still starts over. Returns how many."""
    return await tx.execute(_PRUNE, now_ms - KEPT_MS)


class ChangeFeed:
    """Follows the changes of one database for one process.

    `apply` gets new changes in order; `apply_all` is called when the gap cannot be filled (start, restored database,
    or older than the oldest kept change) and must read everything anew.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        apply: Callable[[list[Change]], Awaitable[None]],
        apply_all: Callable[[], Awaitable[None]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._apply = apply
        self._apply_all = apply_all
        self._position = -1
        self._confirmed = float("-inf")
        self._failed_at = float("-inf")
        self._waiting: SharedFuture | None = None
        self._reader: asyncio.Future[None] | None = None

    def fresh(self) -> bool:
        """True while memory may be trusted."""
        return self._clock.monotonic() - self._confirmed < LEASE_SECONDS

    def lag_seconds(self) -> float:
        """Seconds since the feed was last confirmed."""
        return self._clock.monotonic() - self._confirmed

    async def ensure_fresh(self) -> None:
        """Return at once within the lease, else read the feed now. Raises UnavailableError when that fails, and at once
        where it has just failed: callers of a node that is cut off need not each wait to learn it."""
        now = self._clock.monotonic()
        if now - self._confirmed < LEASE_SECONDS:
            return
        if now - self._failed_at < FAILING_SECONDS:
            raise UnavailableError("the database did not answer when the change feed was last read")
        await self.catch_up()

    async def catch_up(self) -> None:
        """Read and apply all changes up to now. Concurrent callers share one read that began after they asked."""
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = SharedFuture(loop=asyncio.get_running_loop())
            if self._reader is None or self._reader.done():
                self._reader = asyncio.ensure_future(self._read_for_the_waiting())
        await waiting

    async def _read_for_the_waiting(self) -> None:
        while (waiting := self._waiting) is not None:
            # Who asks from now on waits for the next read: this one may have begun before that call's change.
            self._waiting = None
            try:
                await self._read()
            except Exception as error:  # noqa: BLE001 - whatever it is, everyone who waits for this read gets it
                self._failed_at = self._clock.monotonic()
                waiting.set_exception(error)
                waiting.exception()  # seen: a wait that was given up is no "never retrieved" warning
            else:
                waiting.set_result(None)

    async def _read(self) -> None:
        while True:
            asked = self._clock.monotonic()
            row = await self._db.fetch_one(_ENDS)
            oldest, newest = (row[0] or 0, row[1] or 0) if row else (0, 0)
            if newest == self._position:
                break
            if self._position < 0 or newest < self._position or oldest > self._position + 1:
                await self._apply_all()
                self._position = newest
                continue
            found = [Change(*row) for row in await self._db.fetch(_AFTER, self._position)]
            if found:
                await self._apply(found)
                self._position = found[-1].position
        self._confirmed = asked
        self._failed_at = float("-inf")
        self.reason = ""

    async def run(self) -> None:
        """Follow the feed until cancelled; a failed read is tried again, and meanwhile the lease runs out."""
        while True:
            try:
                await self.catch_up()
            except UnavailableError as error:
                self.failures += 1
                self.reason = error.reason
            await self._db.wait_for_change(POLL_SECONDS)

    #: How often the feed could not be read so far, and why not when it was last read.
    failures = 0
    reason = ""
