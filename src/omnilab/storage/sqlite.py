"""The embedded database: SQLite, read on the event loop's thread and written by one thread a process.

A read of a few rows takes microseconds, less than handing it to another thread would; those that are asked for in one
turn of the loop are done together. Writes wait for the disk, so they go to the writer thread, which commits everything
that gathered meanwhile in one go.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar, cast

from sqlalchemy import Table

from omnilab.errors import UnavailableError
from omnilab.storage.database import DuplicateRowError, Sink, Transaction, Unit
from omnilab.storage.group_commit import Batch, Commits
from omnilab.storage.sqlite_files import WriteTurn, connect
from omnilab.storage.statement import Row, Statement, insert_sql

T = TypeVar("T")
# How long writes wait for their turn: a process that was stopped (Ctrl-Z) in the middle of its own keeps it.
TURN_SECONDS = 10.0
_LOOK_SECONDS = 0.5
# The largest number of rows in one INSERT. Each number has its statement, about 0.5 kB a row while it is kept.
_INSERT_ROWS = 64
# So many rows are read before those who asked for them go on: more would fill the processor's cache, and memory where
# thousands ask at once.
_READ_ROWS = 1_000


class SQLiteDatabase:
    """One SQLite file. `start` must run on the event loop that will use it."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.commits = Commits()
        self._path = path
        self._lock = threading.Lock()
        self._open_batch: Batch | None = None
        self._looked_at: Batch | None = None
        self._looks = 0
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._closing = False

    async def start(self) -> None:
        """Open both connections and start the writer. Raises UnavailableError when the file cannot be opened."""
        self._loop = asyncio.get_running_loop()
        try:
            self._writer = _Writer(self._path)
            self._reader = _Reader(self._path, self._loop)
        except (sqlite3.Error, OSError) as error:
            raise UnavailableError(f"the database {self._path} cannot be opened: {error}") from error
        self._thread = threading.Thread(target=self._write_batches, name="omnilab-writer", daemon=True)
        self._thread.start()
        self._look = self._loop.call_later(_LOOK_SECONDS, self._look_at_turn)

    async def close(self) -> None:
        """Commit what is waiting, then close both connections."""
        self._closing = True
        self._wake_writer(False)
        await asyncio.to_thread(self._end_writer)
        self._look.cancel()
        self._reader.close()

    def _end_writer(self) -> None:
        """Wait for the writer's last commit, or until what waited for its turn is given up."""
        self._thread.join(_LOOK_SECONDS)
        while self._thread.is_alive():
            if self._writer.turn.waiting and self._open_batch is None:
                return  # it waits for a turn in which nothing is left to do, and ends with the process
            self._thread.join(_LOOK_SECONDS)
        self._writer.close()

    async def fetch(self, statement: Statement, *args: Any) -> list[Row]:
        return await self._reader.ask(*statement.bind("sqlite", args))

    async def fetch_one(self, statement: Statement, *args: Any) -> Row | None:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None

    def append(self, sink: Sink, *items: Any) -> asyncio.Future[None]:
        with self._lock:
            batch = self._gathering()
            gathered = batch.items.get(sink)
            if gathered is None:
                batch.items[sink] = list(items)
            else:
                gathered += items
            return batch.durable

    async def write(self, unit: Unit[T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        with self._lock:
            self._gathering().units.append((unit, future))
        # Shielded: a caller that goes away must not turn a commit into a cancelled one.
        return await asyncio.shield(future)

    async def change(self, unit: Unit[T]) -> T:
        async def changing(tx: Transaction) -> T:
            tx.changing = True
            try:
                return await unit(tx)
            finally:
                tx.changing = False

        return await self.write(changing)  # all writes of an embedded database take turns

    async def wait_for_change(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _gathering(self) -> Batch:
        """The batch that is still open, under the lock; a new one wakes the writer."""
        batch = self._open_batch
        if batch is None:
            if self._closing:
                raise UnavailableError("the database is closing")
            batch = self._open_batch = self.commits.open_batch(self._loop)
            self._wake_writer(True)
        return batch

    def _wake_writer(self, go_on: bool) -> None:
        """Wake it when the requests that are ready now, and those that arrive meanwhile, have all had their turn.

        Woken at once, it was measured to take most commits with a single record in them, at a third of the throughput;
        the further turn saves 3 % of a token's CPU (docs/adr/0007).
        """
        self._loop.call_soon(lambda: self._loop.call_soon(self._wake.put, go_on))

    def _write_batches(self) -> None:
        """The writer thread: one commit after another until closed and empty."""
        while self._wake.get():
            outcome = self._writer.commit(self._take_batch)
            if outcome is not None:
                self._loop.call_soon_threadsafe(self.commits.settle, *outcome)

    def _take_batch(self) -> Batch | None:
        with self._lock:
            batch, self._open_batch = self._open_batch, None
        return batch

    def _look_at_turn(self) -> None:
        """Give up a batch whose turn does not come. The writer has not taken it, so nothing of it will be done.

        Looks are counted and not seconds: when the whole machine stood still, it was nobody's turn.
        """
        self._look = self._loop.call_later(_LOOK_SECONDS, self._look_at_turn)
        with self._lock:
            batch, before = self._open_batch, self._looked_at
            again = batch is not None and batch is before and self._writer.turn.waiting
            self._looked_at, self._looks = batch, self._looks + 1 if again else 0
            if batch is None or self._looks * _LOOK_SECONDS < TURN_SECONDS:
                return
            self._open_batch = None
        failure = UnavailableError(
            f"another process has held the turn to write to {self._path} for {TURN_SECONDS:.0f} seconds: look for an "
            "omnilab command that was stopped (state T in ps)"
        )
        self.commits.settle(batch, [failure] * len(batch.units), failure)


class _Reader:
    """The reading connection, used on the event loop's thread alone.

    What is asked for in one turn of the loop is read one after the other when the requests that are ready now have all
    had their turn: between other work a list of three bookings was measured to cost a fifth more CPU in all, because
    SQLite's code and pages then come anew into the processor's cache each time.
    """

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connect(path, writable=False)
        self._loop = loop
        self._asked: deque[tuple[str, Sequence[Any], asyncio.Future[list[Row]]]] = deque()

    def ask(self, sql: str, bound: Sequence[Any]) -> asyncio.Future[list[Row]]:
        """The rows, soon. The future may raise UnavailableError."""
        rows: asyncio.Future[list[Row]] = self._loop.create_future()
        if not self._asked:
            self._loop.call_soon(self._read)
        self._asked.append((sql, bound, rows))
        return rows

    def close(self) -> None:
        """What is asked for from now on fails."""
        self._connection.close()

    def _read(self) -> None:
        count = 0
        while self._asked and count < _READ_ROWS:
            sql, bound, rows = self._asked.popleft()
            if rows.done():  # its caller has gone
                continue
            try:
                found = self._connection.execute(sql, bound).fetchall()
            except sqlite3.Error as error:
                failure = UnavailableError(f"a read failed: {error}")
                failure.__cause__ = error
                rows.set_exception(failure)
            except Exception as error:  # noqa: BLE001 - such as a number beyond 64 bits: told to who asked, others go on
                rows.set_exception(error)
            else:
                count += len(found)
                rows.set_result(found)
        if self._asked:
            self._loop.call_soon(self._read)


class _Writer:
    """The writing connection, used by the writer thread alone."""

    def __init__(self, path: Path) -> None:
        self.turn = WriteTurn(path)
        self._connection = connect(path, writable=True)

    def close(self) -> None:
        self._connection.close()
        self.turn.close()

    def commit(self, take_batch: Callable[[], Batch | None]) -> tuple[Batch, list[Any], UnavailableError | None] | None:
        """Take a turn, then the batch (so that it is as full as can be), and commit it. None: it was given up."""
        with self.turn:
            batch = take_batch()
            if batch is None:
                return None
            items = batch.begin()
            tx = _SQLiteTransaction(self._connection, items)
            results: list[Any] = []
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for unit, _ in batch.units:
                    results.append(tx.run_unit(unit))
                for sink, written in items.items():
                    _drive(sink.write_batch(cast(Transaction, tx), written))
                self._connection.execute("COMMIT")
            except Exception as error:  # noqa: BLE001 - whatever failed, nothing of this commit may be taken for done
                self._roll_back()
                failure = UnavailableError(f"a commit failed: {error!r}")
                failure.__cause__ = error
                batch.tell(committed=False)
                return batch, [failure] * len(batch.units), failure
            batch.tell(committed=True)
            return batch, results, None

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


class _SQLiteTransaction:
    """A unit's view of the open transaction. Its methods are coroutines that never suspend."""

    def __init__(self, connection: sqlite3.Connection, items: dict[Sink, list[Any]]) -> None:
        self._connection = connection
        self._items = items
        self._appended: list[tuple[Sink, Any]] = []
        self.changing = False

    def run_unit(self, unit: Unit[Any]) -> Any:
        """Run one unit in a savepoint; returns its result or its exception."""
        self._appended = []
        self._connection.execute("SAVEPOINT unit")
        try:
            result = _drive(unit(cast(Transaction, self)))
        except sqlite3.Error:
            raise  # the engine itself failed: the whole commit is off
        except Exception as error:  # noqa: BLE001 - told to the unit's caller
            self._connection.execute("ROLLBACK TO unit")
            result = error
        else:
            for sink, item in self._appended:
                self._items.setdefault(sink, []).append(item)
        self._connection.execute("RELEASE unit")
        return result

    async def fetch(self, statement: Statement, *args: Any) -> list[Row]:
        return self._connection.execute(*statement.bind("sqlite", args)).fetchall()

    async def fetch_one(self, statement: Statement, *args: Any) -> Row | None:
        return cast("Row | None", self._connection.execute(*statement.bind("sqlite", args)).fetchone())

    async def execute(self, statement: Statement, *args: Any) -> int:
        try:
            return self._connection.execute(*statement.bind("sqlite", args)).rowcount
        except sqlite3.IntegrityError as error:
            raise DuplicateRowError(str(error)) from error

    async def insert_rows(self, table: Table, rows: Sequence[Row], suffix: str = "") -> None:
        """Many rows a statement: each step of SQLite lets go of the interpreter lock and has to win it back."""
        try:
            for start in range(0, len(rows), _INSERT_ROWS):
                part = rows[start : start + _INSERT_ROWS]
                self._connection.execute(insert_sql(table, len(part), suffix), tuple(chain.from_iterable(part)))
        except sqlite3.IntegrityError as error:
            raise DuplicateRowError(str(error)) from error

    async def update_and_insert(self, update: Statement, args: Row, table: Table, rows: Sequence[Row]) -> bool:
        if await self.execute(update, *args) != 1:
            return False
        await self.insert_rows(table, rows)
        return True

    def append(self, sink: Sink, item: Any) -> None:
        self._appended.append((sink, item))


def _drive(awaitable: Any) -> Any:
    """Run a coroutine that never suspends to its end, here in this thread."""
    coroutine = cast("Coroutine[Any, Any, Any]", awaitable)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("a unit may await nothing but its transaction")
