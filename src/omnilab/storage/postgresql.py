"""The database for many nodes: PostgreSQL, read through a pool and written by one connection a process.

All writes of a process go through that one connection, commit after commit, as on SQLite: whatever gathers while a
commit is on its way shares the next one. Writers of other processes work at the same time, so changes that every
process holds in memory (`Database.change`) take turns under one advisory lock: the feed's positions become visible in
order, and of two provisioning commands the second sees what the first did.

A commit whose answer is lost may have happened. Its callers are told 503 and that nobody knows, and so are sinks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import Any, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import Table

from omnilab.errors import OutcomeUnknownError, UnavailableError
from omnilab.storage.database import DuplicateRowError, Sink, Unit
from omnilab.storage.group_commit import Batch, Commits
from omnilab.storage.postgresql_reads import ReadConnections
from omnilab.storage.statement import Row, Statement, insert_arrays_sql, update_and_insert_sql

T = TypeVar("T")
Connection: TypeAlias = Any  # asyncpg comes without types

# The lock under which provisioning changes take turns, and the channel on which they are announced.
CHANGES_LOCK = 0x6F6D6E69
CHANGES_CHANNEL = "omnilab_changes"
# Shorter than the lease of the change feed is of no use, much longer keeps callers waiting for their 503.
READ_SECONDS = 2.0
WRITE_SECONDS = 5.0
CONNECT_SECONDS = 2.0
# How long one writer waits for a row that another one holds. PostgreSQL looks for deadlocks only after a second, which
# alone would use up the promise of one second; so both of them let go sooner and try again.
_SESSION = {"lock_timeout": "400ms", "idle_in_transaction_session_timeout": "10s", "application_name": "omnilab"}
_ATTEMPTS = 4
_RECONNECT_SECONDS = 0.2

#: What tells that the engine, and not one statement of one caller, has failed. asyncpg's internal error is what it says
#: to whoever asks over a connection that the server has just given notice.
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
_TRY_AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
)


class PostgreSQLDatabase:
    """One PostgreSQL database. `start` must run on the event loop that will use it.

    url: `postgresql://…` as libpq takes it, TLS settings included; never printed. readers: connections for reads.
    """

    dialect = "postgresql"

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self.commits = Commits()
        self._url = url
        self._reads = ReadConnections(url, size=readers, connect_seconds=CONNECT_SECONDS, read_seconds=READ_SECONDS)
        self._open_batch: Batch | None = None
        self._wake = asyncio.Event()
        self._closing = False
        self._changed = asyncio.Event()
        self._listener: Connection | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the writer; connections are opened as they are needed."""
        self._loop = asyncio.get_running_loop()
        self._writer = _Writer(self._url)
        self._task = self._loop.create_task(self._write_batches(), name="omnilab-writer")

    async def close(self) -> None:
        """Commit what is waiting, then let go of all connections."""
        self._closing = True
        self._wake.set()
        await self._task
        await self._writer.close()
        if self._listening is not None:
            self._listening.cancel()
        if self._listener is not None:
            self._listener.terminate()
        self._reads.close()

    async def fetch(self, statement: Statement, *args: Any) -> list[Row]:
        sql, bound = statement.bind("postgresql", args)
        try:
            return [tuple(row) for row in await self._reads.fetch(sql, bound)]
        except FAILURES as error:
            raise UnavailableError(f"a read failed: {_told(error)}") from error

    async def fetch_one(self, statement: Statement, *args: Any) -> Row | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None

    def append(self, sink: Sink, *items: Any) -> asyncio.Future[None]:
        batch = self._gathering()
        batch.items.setdefault(sink, []).extend(items)
        return batch.durable

    async def write(self, unit: Unit[T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._gathering().units.append((unit, future))
        return await asyncio.shield(future)

    async def change(self, unit: Unit[T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._gathering().changes.append((unit, future))
        return await asyncio.shield(future)

    async def wait_for_change(self, seconds: float) -> None:
        """Return when another process has announced a change, or after so many seconds. Confirms nothing."""
        is_gone = self._listener is None or self._listener.is_closed()
        if is_gone and (self._listening is None or self._listening.done()):
            # Beside the feed: a connection that is long in coming must not keep it from asking.
            self._listening = self._loop.create_task(self._listen(), name="omnilab-listener")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    async def _listen(self) -> None:
        """A connection that wakes the feed; without one the feed is polled all the same."""
        try:
            connection = await asyncpg.connect(self._url, timeout=CONNECT_SECONDS, command_timeout=READ_SECONDS)
            await connection.add_listener(CHANGES_CHANNEL, lambda *_: self._changed.set())
        except FAILURES:
            await asyncio.sleep(_RECONNECT_SECONDS)
        else:
            self._listener = connection

    def _gathering(self) -> Batch:
        """The batch that is still open; a new one wakes the writer."""
        batch = self._open_batch
        if batch is None:
            if self._closing:
                raise UnavailableError("the database is closing")
            batch = self._open_batch = self.commits.open_batch(self._loop)
            self._wake.set()
        return batch

    async def _write_batches(self) -> None:
        """One commit after another until closed and empty."""
        while not (self._closing and self._open_batch is None):
            await self._wake.wait()
            self._wake.clear()
            # The requests that are ready now have their turn first: fuller, fewer commits.
            await asyncio.sleep(0)
            batch, self._open_batch = self._open_batch, None
            if batch is not None:
                self.commits.settle(batch, *await self._writer.commit(batch))


class _Writer:
    """The one writing connection of a process; opened when first needed, and again after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()

    async def commit(self, batch: Batch) -> tuple[list[Any], UnavailableError | None]:
        """Commit a batch, again from its start where other writers were in the way."""
        attempt = 1
        while True:
            try:
                results = await self._once(batch)
            except Exception as error:  # noqa: BLE001 - whatever failed, nothing of this commit may be taken for done
                failure = _failure_of(error)
                batch.tell(committed=None if failure is error else False)
                if not isinstance(error, _TRY_AGAIN) or attempt == _ATTEMPTS:
                    await self._drop()
                    return [failure] * len(batch.all_units), failure
                attempt += 1
            else:
                batch.tell(committed=True)
                return results, None

    async def _once(self, batch: Batch) -> list[Any]:
        connection = await self._ready()
        transaction = _Transaction(connection, batch)
        if batch.is_one_statement:
            return await self._run_to_commit(connection, transaction.run())
        try:
            await connection.execute("BEGIN")
            results = await transaction.run()
        except (OSError, TimeoutError):
            # Nobody answers: a ROLLBACK would wait for an answer too.
            connection.terminate()
            raise
        except BaseException:
            await self._roll_back(connection)
            raise
        await self._run_to_commit(connection, connection.execute("COMMIT"))
        return results

    async def _run_to_commit(self, connection: Connection, last: Awaitable[T]) -> T:
        """Run what commits. Raises OutcomeUnknownError where no answer came."""
        try:
            return await last
        except UnavailableError:
            raise  # the sink's own: nothing was there to be committed
        except Exception as error:
            # Only an ERROR is the server's word that it did not commit. A lost connection is a PostgresError too, made
            # by asyncpg itself, and FATAL is said to whoever is connected, whatever became of the commit.
            if getattr(error, "severity_en", None) == "ERROR":
                raise
            connection.terminate()
            raise OutcomeUnknownError(f"a commit's answer was lost: {_told(error)}") from error

    async def _ready(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._url, timeout=CONNECT_SECONDS, command_timeout=WRITE_SECONDS, server_settings=_SESSION
            )
        return self._connection

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.execute("ROLLBACK", timeout=READ_SECONDS)
        except FAILURES:
            await self._drop()

    async def _drop(self) -> None:
        """Let go of a connection whose state nobody knows. A database that is away must not be asked in a loop."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        await asyncio.sleep(_RECONNECT_SECONDS)


class _Transaction:
    """A unit's view of the open transaction."""

    def __init__(self, connection: Connection, batch: Batch) -> None:
        self._connection = connection
        self._batch = batch
        self._items = batch.begin()
        self.changing = False
        self._appended: list[tuple[Sink, Any]] = []

    async def run(self) -> list[Any]:
        """Every unit in a savepoint of its own, changes first, then every sink; the result or exception of each."""
        results: list[Any] = []
        if self._batch.changes:
            # First of all: who waits for this lock holds no row that its owner might want.
            await self._connection.execute(f"SELECT pg_advisory_xact_lock({CHANGES_LOCK})")
        if self._batch.all_units:
            await self._connection.execute("SAVEPOINT unit")
        for number, (unit, _) in enumerate(self._batch.all_units):
            self.changing = number < len(self._batch.changes)
            results.append(await self._run_unit(unit))
        if self._batch.changes:
            await self._connection.execute(f"NOTIFY {CHANGES_CHANNEL}")
        for sink, items in self._items.items():
            await sink.write_batch(self, items)
        return results

    async def _run_unit(self, unit: Unit[Any]) -> Any:
        self._appended = []
        try:
            result = await unit(self)
        except FAILURES:
            raise  # the engine itself failed: the whole commit is off
        except Exception as error:  # noqa: BLE001 - told to the unit's caller
            await self._connection.execute("ROLLBACK TO unit")
            return error
        for sink, item in self._appended:
            self._items.setdefault(sink, []).append(item)
        await self._connection.execute("RELEASE unit; SAVEPOINT unit")
        return result

    async def fetch(self, statement: Statement, *args: Any) -> list[Row]:
        sql, bound = statement.bind("postgresql", args)
        return [tuple(row) for row in await self._connection.fetch(sql, *bound)]

    async def fetch_one(self, statement: Statement, *args: Any) -> Row | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None

    async def execute(self, statement: Statement, *args: Any) -> int:
        sql, bound = statement.bind("postgresql", args)
        try:
            return _touched(await self._connection.execute(sql, *bound))
        except asyncpg.UniqueViolationError as error:
            raise DuplicateRowError(str(error.constraint_name)) from error

    async def insert_rows(self, table: Table, rows: Sequence[Row], suffix: str = "") -> None:
        """Any number of rows in one statement: one array a column."""
        if not rows:
            return
        try:
            await self._connection.execute(insert_arrays_sql(table, suffix), *map(list, zip(*rows, strict=True)))
        except asyncpg.UniqueViolationError as error:
            raise DuplicateRowError(str(error.constraint_name)) from error

    async def update_and_insert(self, update: Statement, args: Row, table: Table, rows: Sequence[Row]) -> bool:
        sql, bound = update.bind("postgresql", args)
        joined = update_and_insert_sql(sql, len(bound), table)
        try:
            return _touched(await self._connection.execute(joined, *bound, *map(list, zip(*rows, strict=True)))) > 0
        except asyncpg.UniqueViolationError as error:
            raise DuplicateRowError(str(error.constraint_name)) from error

    def append(self, sink: Sink, item: Any) -> None:
        self._appended.append((sink, item))


def _touched(status: str) -> int:
    """The number of rows in a status such as `UPDATE 3` or `INSERT 0 1`."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def _failure_of(error: Exception) -> UnavailableError:
    """What the callers of a commit are told; the error itself where nobody knows how the commit ended."""
    if isinstance(error, OutcomeUnknownError):
        return error
    failure = UnavailableError(f"a commit failed: {_told(error)}")
    failure.__cause__ = error
    return failure


def _told(error: BaseException) -> str:
    """What failed, without the text of statements or values: those may hold what must not be logged."""
    if isinstance(error, UnavailableError):
        return error.reason
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if state else f"{type(error).__name__}"
