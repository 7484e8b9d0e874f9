"""What a house may ask of the database, whichever it is.

Reads see what is committed. Writes go through the group commit: whatever arrives while one commit is on its way is
committed together in the next, so the price of a durable write falls with load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Table

from omnilab.storage.statement import Row, Statement

T = TypeVar("T")


class Reader(Protocol):
    """Something that can be asked. Raises UnavailableError when the database does not answer."""

    async def fetch(self, statement: Statement, *args: Any) -> list[Row]: ...

    async def fetch_one(self, statement: Statement, *args: Any) -> Row | None: ...


class Sink(Protocol):
    """Writes the items appended to one group commit, all at once and last, just before COMMIT.

    Runs where the transaction runs (on SQLite the writer thread), so it awaits nothing but the transaction.
    """

    async def write_batch(self, tx: Transaction, items: list[Any]) -> None: ...

    @property
    def is_one_statement(self) -> bool:
        """Whether the next `write_batch` will be one `update_and_insert` and nothing else: where it is all there is
        to a commit, PostgreSQL needs one round trip for it instead of four."""
        ...

    def settled(self, committed: bool | None) -> None:
        """Called after COMMIT (True) or ROLLBACK (False), before anyone learns of it; None: the answer was lost."""


class Transaction(Reader, Protocol):
    """The inside of one group commit, as one unit sees it. A unit awaits nothing but its transaction.

    changing: whether the unit was given to `Database.change`.
    """

    changing: bool

    async def execute(self, statement: Statement, *args: Any) -> int:
        """Run a change; returns how many rows it touched. Raises DuplicateRowError."""
        ...

    async def insert_rows(self, table: Table, rows: Sequence[Row], suffix: str = "") -> None:
        """Insert whole rows in the table's column order; `suffix` may be an ON CONFLICT clause."""
        ...

    async def update_and_insert(self, update: Statement, args: Row, table: Table, rows: Sequence[Row]) -> bool:
        """Run a change of one row and insert whole rows with it; False, and nothing is done, where there is no such
        row. Raises DuplicateRowError."""
        ...

    def append(self, sink: Sink, item: Any) -> None:
        """Have a sink write an item in this very transaction, unless the unit fails."""
        ...


class CommitCounts(Protocol):
    """done, failed: group commits that ended so. reason: why the last one failed, if it did."""

    done: int
    failed: int
    reason: str

    def waiting_seconds(self, now: float) -> float:
        """How long the oldest batch has waited for its end at `now` of the loop's clock; 0 where none does."""
        ...


Unit = Callable[[Transaction], Awaitable[T]]


class Database(Reader, Protocol):
    """One database of one environment. commits: what came of the group commits of this process."""

    dialect: str

    @property
    def commits(self) -> CommitCounts: ...

    async def start(self) -> None: ...

    async def close(self) -> None:
        """Commit what is waiting, then let go."""

    async def write(self, unit: Unit[T]) -> T:
        """Run a unit in the next group commit; returns its result once that is durable.

        A unit that raises is undone alone and its exception is raised here.
        Raises UnavailableError when the commit fails; then nothing of it was done.
        """
        ...

    async def change(self, unit: Unit[T]) -> T:
        """`write` for what processes hold in memory: one such unit at a time, whichever process runs it, each seeing
        what those before it did; all processes are woken once it is durable. The unit ends with `append_change`.
        """
        ...

    async def wait_for_change(self, seconds: float) -> None:
        """Return when a change may have become visible, after so many seconds at the latest."""
        ...

    def append(self, sink: Sink, *items: Any) -> asyncio.Future[None]:
        """Have a sink write items in the next group commit, all in the same; the future is done once it is durable."""
        ...


class DuplicateRowError(Exception):
    """A row with this key is already there."""
