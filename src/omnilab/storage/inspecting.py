"""How a database stands: its schema, its size, how many rows. Asks over a connection of its own; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omnilab.errors import UnavailableError
from omnilab.storage import schema
from omnilab.storage.backups import AWAITS_RECONCILE
from omnilab.storage.sides import Side, failures, open_side
from omnilab.storage.sqlite_files import sqlite_path
from omnilab.storage.tables import metadata


@dataclass(frozen=True, slots=True)
class Standing:
    """revision: None before `init`. rows: by table; on PostgreSQL its own estimates, where it has made them.
    bytes_used: of the database."""

    engine: str
    revision: str | None
    program: str
    pending: list[str]
    serves_from: str | None
    awaits_reconcile: bool
    bytes_used: int
    rows: dict[str, int]

    def document(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


async def stand(url: str) -> Standing:
    """How the database of this URL stands. Raises UnavailableError."""
    engine = "sqlite" if url.startswith("sqlite:") else "postgresql"
    try:
        async with open_side(url, writable=False) as side:
            revision = await _revision(side, engine)
            named: dict[str, str] = dict(await side.fetch("SELECT name, value FROM installation")) if revision else {}
            return Standing(
                engine=engine,
                revision=revision,
                program=schema.HEAD,
                pending=schema.pending(revision),
                serves_from=named.get(schema.SERVES_FROM),
                awaits_reconcile=AWAITS_RECONCILE in named,
                bytes_used=await _bytes_used(side, url),
                rows=await _rows(side, engine) if revision == schema.HEAD else {},
            )
    except failures() as error:
        raise UnavailableError(f"the database cannot be read: {type(error).__name__}") from error


async def _revision(side: Side, engine: str) -> str | None:
    there = (
        "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
        if engine == "sqlite"
        else "SELECT count(*) FROM pg_class WHERE oid = to_regclass('alembic_version')"
    )
    if not (await side.fetch(there))[0][0]:
        return None
    rows = await side.fetch("SELECT version_num FROM alembic_version")
    return str(rows[0][0]) if rows else None


async def _bytes_used(side: Side, url: str) -> int:
    if url.startswith("sqlite:"):
        path = sqlite_path(url)
        return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))
    return int((await side.fetch("SELECT pg_database_size(current_database())"))[0][0])


async def _rows(side: Side, engine: str) -> dict[str, int]:
    names = [table.name for table in metadata.sorted_tables]
    estimated = {} if engine == "sqlite" else await _estimated_rows(side)
    return {name: estimated.get(name) or await _count(side, name) for name in names}


async def _count(side: Side, table: str) -> int:
    return int((await side.fetch(f"SELECT count(*) FROM {table}"))[0][0])  # noqa: S608


async def _estimated_rows(side: Side) -> dict[str, int]:
    """By table, all partitions together; without tables of which a part that holds rows is not estimated yet."""
    sql = """SELECT COALESCE(p.relname, c.relname), sum(GREATEST(c.reltuples, 0))::bigint FROM pg_class c
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1
        HAVING NOT bool_or(c.reltuples < 0 AND pg_relation_size(c.oid) > 0)"""
    return {name: int(rows) for name, rows in await side.fetch(sql)}
