"""Records that may wait a little: kept in memory, written in batches, never dropped.

Promises that a record is durable within a second of `add` while the database answers. When it does not, the buffer
fills, and a full one refuses: the caller then answers 503 instead of a 200 that leaves no trace. A record whose commit
failed may be there all the same, its answer lost on the way: it is looked for before it is written again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from omnilab.audit.store.records import list_recorded
from omnilab.audit.store.sink import AuditSink, Entry
from omnilab.errors import UnavailableError
from omnilab.storage.database import Database

_log = logging.getLogger("omnilab.audit")

INTERVAL_SECONDS = 0.5
# So many at most in one commit: it keeps the other writers of the same file waiting for about 10 ms.
BATCH_RECORDS = 500
LIMIT_RECORDS = 20_000  # about 15 MB


class RecordBuffer:
    """The records of one process that wait for the next flush, in the order in which they came."""

    def __init__(self, db: Database, sink: AuditSink, *, limit: int = LIMIT_RECORDS) -> None:
        self._db = db
        self._sink = sink
        self._limit = limit
        self._entries: deque[Entry] = deque()
        self._in_flight = 0
        self._in_doubt = 0  # so many of the first may have been written
        self._full_batch = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many records are not durable yet."""
        return len(self._entries) + self._in_flight

    def add(self, entry: Entry) -> None:
        """Take a record. Raises UnavailableError when the buffer is full."""
        waiting = self.waiting
        if waiting >= self._limit:
            raise UnavailableError(f"{waiting} audit records wait to be written; no more are taken")
        self._entries.append(entry)
        if waiting + 1 >= BATCH_RECORDS:
            self._full_batch.set()

    def start(self) -> None:
        """Flush in the background, twice a second or when a batch is full."""
        self._task = asyncio.create_task(self._run(), name="omnilab-audit-flush")

    async def close(self) -> None:
        """Flush the last records. Raises UnavailableError when they cannot be written."""
        self._closing = True
        self._full_batch.set()
        if self._task is not None:
            await self._task
        await self.flush()

    async def _run(self) -> None:
        while not self._closing:
            try:
                async with asyncio.timeout(INTERVAL_SECONDS):
                    await self._full_batch.wait()
            except TimeoutError:
                pass
            self._full_batch.clear()
            try:
                await self.flush()
                continue
            except UnavailableError:
                pass
            except Exception as error:  # noqa: BLE001 - a defect here would end in a full buffer and no more answers
                _log.error("audit_flush_crashed", exc_info=error)
            # They are kept. A database that fails at once must not be asked again at once.
            await asyncio.sleep(INTERVAL_SECONDS)

    async def flush(self) -> None:
        """Write everything that waits. Raises UnavailableError; whatever is raised, what was not written is kept, in
        order."""
        while self._entries:
            batch = [self._entries.popleft() for _ in range(min(BATCH_RECORDS, len(self._entries)))]
            self._in_flight = len(batch)
            try:
                if missing := await self._missing(batch):
                    await self._db.append(self._sink, *missing)
            except BaseException:
                self._entries.extendleft(reversed(batch))
                self._in_doubt = len(batch)
                raise
            finally:
                self._in_flight = 0
            self._in_doubt = 0

    async def _missing(self, batch: list[Entry]) -> list[Entry]:
        """Those of a batch that are not recorded yet."""
        doubtful, others = batch[: self._in_doubt], batch[self._in_doubt :]
        return [each for each in doubtful if each not in await list_recorded(self._db, each[1])] + others
