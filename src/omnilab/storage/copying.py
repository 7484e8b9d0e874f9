"""Copying a whole installation from one database to another, of either engine, with proof that nothing differs.

Promises that the copy is one moment of the source, that every table was read back from the target and has as many rows
and the same digest, and that the target has all of it or nothing. The digest is SHA-256 over the rows in the order of
the primary key, each row as MessagePack of its columns in the schema's order.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Table, Text

from omnilab.errors import ProvisioningError, UnavailableError
from omnilab.storage import schema
from omnilab.storage.changes import FAR
from omnilab.storage.sides import Side, failures, open_side
from omnilab.storage.statement import Row
from omnilab.storage.tables import PLATFORM_TENANT, metadata

#: The value in `installation` that says what a backup holds; it describes the file and is no part of what is copied.
BACKUP = "backup"
_encode = msgspec.msgpack.Encoder().encode
_WITH_SERIAL = ("changes", "position")


@dataclass(frozen=True, slots=True)
class TableCopy:
    """What was copied of one table."""

    table: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a copy is for. values: further values for the target's table `installation`, made from what was copied and
    written with it. expected: what the source must be found to hold, table by table. as_backup: others may write to the
    source meanwhile, and the target is to be one file. moves_on: processes that knew another past must start over."""

    values: Callable[[list[TableCopy]], Mapping[str, str]] = lambda _: {}
    expected: list[TableCopy] | None = None
    as_backup: bool = False
    moves_on: bool = False


class _Digest:
    def __init__(self) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()

    def add(self, rows: list[Row]) -> None:
        self.rows += len(rows)
        self._hash.update(b"".join(map(_encode, rows)))

    def of(self, table: Table) -> TableCopy:
        return TableCopy(str(table.name), self.rows, self._hash.hexdigest())


async def copy_database(
    source_url: str, target_url: str, terms: Terms = Terms(), *, advance: Callable[[int], None] = lambda _: None
) -> list[TableCopy]:
    """Copy everything into an empty database, which gets its schema first.

    Raises ProvisioningError (`schema_differs`, `database_not_empty`, `value_not_storable`, `copy_differs`,
    `source_moved`, `backup_damaged`) or UnavailableError; then nothing was written.
    """
    try:
        await _check_revision(source_url)
        await asyncio.to_thread(schema.upgrade, target_url)
        async with open_side(source_url, writable=False) as source, open_side(target_url, writable=True) as target:
            await _check_empty(target)
            await target.execute("DELETE FROM installation")
            copied = [await _copy_table(source, target, table, advance) for table in metadata.sorted_tables]
            if terms.expected is not None and copied != terms.expected:
                raise _damaged(copied, terms.expected)
            if not terms.as_backup:
                await _check_still(source, source_url)
            if terms.moves_on:
                await _move_feed_on(target)
            await _set_serial(target, target_url)
            for name, value in terms.values(copied).items():
                quoted = value.replace("'", "''")
                await target.execute(f"INSERT INTO installation (name, value) VALUES ('{name}', '{quoted}')")  # noqa: S608
            await target.commit()
            if terms.as_backup:
                await target.settle()
    except failures() as error:
        raise UnavailableError(f"the copy failed, and nothing of it was kept: {type(error).__name__}") from error
    return copied


async def _copy_table(source: Side, target: Side, table: Table, advance: Callable[[int], None]) -> TableCopy:
    texts = [place for place, column in enumerate(table.columns) if isinstance(column.type, Text)]
    read, written = _Digest(), _Digest()
    async for rows in _kept_rows(source, table):
        _refuse_nul(table, rows, texts)
        read.add(rows)
        await target.insert(table, rows)
        advance(len(rows))
    async for rows in _kept_rows(target, table):
        written.add(rows)
    if read.of(table) != written.of(table):
        raise ProvisioningError(
            "copy_differs",
            f"What came out of the target is not what went into its table {table.name} ({read.rows} rows went in, "
            f"{written.rows} came out): nothing was kept. Run omnilab db check on the source.",
        )
    return read.of(table)


async def _kept_rows(side: Side, table: Table) -> AsyncIterator[list[Row]]:
    async for rows in side.rows(table):
        yield [row for row in rows if row[0] != BACKUP] if table.name == "installation" else rows


def _refuse_nul(table: Table, rows: list[Row], texts: list[int]) -> None:
    """PostgreSQL keeps no NUL in a text, and nothing of ours writes one; better found here than as its own error."""
    for row in rows:
        for place in texts:
            if isinstance(row[place], str) and "\0" in row[place]:
                raise ProvisioningError(
                    "value_not_storable",
                    f"A row of the table {table.name} holds a NUL character in {table.columns[place].name}, which was "
                    "not written by OmniLab: nothing was copied. Run omnilab db check and omnilab audit verify.",
                )


async def _check_revision(url: str) -> None:
    async with open_side(url, writable=False) as side:
        try:
            [(revision,)] = await side.fetch("SELECT version_num FROM alembic_version")
        except failures():
            revision = "none"
    if revision != schema.HEAD:
        raise ProvisioningError(
            "schema_differs",
            f"The source's schema is {revision}, this program copies {schema.HEAD}: "
            "run omnilab db upgrade with OMNILAB_DATABASE_URL naming the source first.",
        )


async def _check_empty(target: Side) -> None:
    for table in metadata.sorted_tables:
        condition = f"WHERE name <> '{schema.SERVES_FROM}'" if table.name == "installation" else ""
        if await target.fetch(f"SELECT 1 FROM {table.name} {condition} LIMIT 1"):  # noqa: S608 - our own names
            raise ProvisioningError(
                "database_not_empty",
                f"The target already holds an installation (there are rows in {table.name}). Name an empty database, "
                "or move that one away first: nothing is ever overwritten.",
            )


async def _check_still(source: Side, url: str) -> None:
    """The source is as it was when the copy began, or the copy would be of a past that others have left."""
    marks = "SELECT (SELECT max(position) FROM changes), (SELECT sum(head_position) FROM audit_chains)"
    before = await source.fetch(marks)
    async with open_side(url, writable=False) as again:
        if await again.fetch(marks) != before:
            raise ProvisioningError(
                "source_moved",
                "The source was written to while it was copied, so the copy would lack that: nothing was kept. "
                "Stop every node (and command) that uses the source, then run this again.",
            )


async def _set_serial(target: Side, url: str) -> None:
    if url.startswith("sqlite:"):
        return  # SQLite counts on from the highest number it was given
    table, column = _WITH_SERIAL
    await target.execute(
        f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "  # noqa: S608
        f"GREATEST((SELECT max({column}) FROM {table}), 1), (SELECT max({column}) IS NOT NULL FROM {table}))"
    )


async def _move_feed_on(target: Side) -> None:
    """One change, far beyond any that a process can have seen, and none before it: whoever follows starts over."""
    newest = (await target.fetch("SELECT COALESCE(max(position), 0) FROM changes"))[0][0]
    await target.execute("DELETE FROM changes")
    await target.execute(
        f"INSERT INTO changes (position, tenant_id, kind, client_id, occurred_at) "  # noqa: S608
        f"VALUES ({newest + FAR}, '{PLATFORM_TENANT}', 'tenant', NULL, 0)"
    )


def _damaged(copied: list[TableCopy], expected: list[TableCopy]) -> ProvisioningError:
    names = ", ".join(each.table for each in copied if each not in expected) or "a table that is missing"
    return ProvisioningError(
        "backup_damaged",
        f"The backup does not hold what was written into it (in {names}): nothing was restored. Take another backup.",
    )
