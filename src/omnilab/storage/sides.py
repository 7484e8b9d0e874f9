"""The two ends of a copy: one database, read or written table by table over a connection of its own.

Promises that what is read is one moment of the database, whoever writes meanwhile, in the order of the primary keys
(by bytes, the same on both engines), and that what is written is there whole after `commit` and not at all without it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any, Protocol

from sqlalchemy import Table

from omnilab.storage.sqlite_files import WriteTurn, connect, sqlite_path
from omnilab.storage.statement import Row, insert_sql

BATCH_ROWS = 1000


class Side(Protocol):
    """One end. A context manager: leaving it without `commit` undoes what was written."""

    async def __aenter__(self) -> Side: ...
    async def __aexit__(self, *_: object) -> None: ...

    async def fetch(self, sql: str) -> list[Row]:
        """The rows of a small query that both engines read alike."""
        ...

    def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows of a table in the order of its primary key, in batches."""
        ...

    async def insert(self, table: Table, rows: list[Row]) -> None: ...

    async def execute(self, sql: str) -> None: ...

    async def commit(self) -> None: ...

    async def settle(self) -> None:
        """After the commit, make a file of its own of an embedded database: no other file belongs to it."""
        ...


def open_side(url: str, *, writable: bool) -> Side:
    """The side of a database URL. Raises ValueError for a URL of neither engine."""
    if url.startswith("sqlite:"):
        return SQLiteSide(url, writable=writable)
    return PostgreSQLSide(url, writable=writable)


def _select(table: Table) -> str:
    names = ", ".join(column.name for column in table.columns)
    order = ", ".join(column.name for column in table.primary_key.columns)
    return f"SELECT {names} FROM {table.name} ORDER BY {order}"  # noqa: S608 - names of our own schema


class SQLiteSide:
    """An embedded database. A writer keeps its turn until it is done: nobody else writes meanwhile."""

    def __init__(self, url: str, *, writable: bool) -> None:
        self._path = sqlite_path(url)
        self._writable = writable
        self._turn: WriteTurn | None = None

    async def __aenter__(self) -> SQLiteSide:
        if not self._writable:
            # Nothing is set and nothing written: a backup may lie where nobody can.
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            self._connection.execute("BEGIN")
            return self
        self._turn = WriteTurn(self._path)
        self._turn.__enter__()
        self._connection = connect(self._path, writable=True)
        self._connection.execute("BEGIN IMMEDIATE")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._connection.close()
        if self._turn is not None:
            self._turn.__exit__()
            self._turn.close()

    async def fetch(self, sql: str) -> list[Row]:
        return self._connection.execute(sql).fetchall()

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        cursor = self._connection.execute(_select(table))
        while batch := cursor.fetchmany(BATCH_ROWS):
            yield batch

    async def insert(self, table: Table, rows: list[Row]) -> None:
        self._connection.executemany(insert_sql(table, 1, ""), rows)

    async def execute(self, sql: str) -> None:
        self._connection.execute(sql)

    async def commit(self) -> None:
        self._connection.execute("COMMIT")

    async def settle(self) -> None:
        self._connection.execute("PRAGMA journal_mode = DELETE")


class PostgreSQLSide:
    """A PostgreSQL database."""

    def __init__(self, url: str, *, writable: bool) -> None:
        self._url = url
        self._writable = writable

    async def __aenter__(self) -> PostgreSQLSide:
        import asyncpg  # noqa: PLC0415 - who copies files has none

        self._connection: Any = await asyncpg.connect(self._url, timeout=10)
        self._transaction = self._connection.transaction(isolation="repeatable_read", readonly=not self._writable)
        await self._transaction.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        # Ends the session, and with it whatever was not committed.
        self._connection.terminate()

    async def fetch(self, sql: str) -> list[Row]:
        return [tuple(row) for row in await self._connection.fetch(sql)]

    async def rows(self, table: Table) -> AsyncIterator[list[Row]]:
        cursor = await self._connection.cursor(_select(table))
        while batch := await cursor.fetch(BATCH_ROWS):
            yield [tuple(row) for row in batch]

    async def insert(self, table: Table, rows: list[Row]) -> None:
        names = [column.name for column in table.columns]
        await self._connection.copy_records_to_table(table.name, records=rows, columns=names)

    async def execute(self, sql: str) -> None:
        await self._connection.execute(sql)

    async def commit(self) -> None:
        await self._transaction.commit()

    async def settle(self) -> None:
        pass


#: What tells that an engine failed, of both.
def failures() -> tuple[type[BaseException], ...]:
    """The exceptions of both engines, as far as they are installed."""
    try:
        import asyncpg  # noqa: PLC0415
    except ImportError:
        return (sqlite3.Error, OSError, TimeoutError, ValueError)
    return (sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError)
