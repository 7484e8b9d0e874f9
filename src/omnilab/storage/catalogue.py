"""What the database's own catalogue has, held against the schema that this program was written for."""

from __future__ import annotations

from sqlalchemy import LargeBinary, Table, Text

from omnilab.storage.sides import Side
from omnilab.storage.tables import metadata

# On PostgreSQL each partition has this one for itself (docs/adr/0021).
_BY_PARTITION = "audit_records_in_chain"


async def missing_parts(side: Side, url: str) -> list[str]:
    """Tables, columns and indexes that are missing or of another type, in words."""
    on_sqlite = url.startswith("sqlite:")
    columns = await (_sqlite_columns(side) if on_sqlite else _postgresql_columns(side))
    indexes = await _indexes(side, on_sqlite=on_sqlite)
    found = []
    for table in metadata.sorted_tables:
        found += _missing_in(table, columns.get(table.name), on_sqlite=on_sqlite)
        for index in table.indexes:
            if str(index.name) not in indexes and (on_sqlite or index.name != _BY_PARTITION):
                found.append(f"the index {index.name} of {table.name} is missing")
    return found


def _missing_in(table: Table, there: dict[str, str] | None, *, on_sqlite: bool) -> list[str]:
    if there is None:
        return [f"the table {table.name} is missing"]
    found = []
    for column in table.columns:
        text, binary = ("TEXT", "BLOB") if on_sqlite else ("text", "bytea")
        expected = text if isinstance(column.type, Text) else binary if isinstance(column.type, LargeBinary) else "int"
        kind = there.get(column.name)
        if kind is None:
            found.append(f"the column {table.name}.{column.name} is missing")
        elif expected not in (kind, "int") or (expected == "int" and "int" not in kind.lower()):
            found.append(f"the column {table.name}.{column.name} is {kind}, not {expected}")
    return found


async def _sqlite_columns(side: Side) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table in metadata.sorted_tables:
        rows = await side.fetch(f"PRAGMA table_info({table.name})")
        if rows:
            found[table.name] = {str(row[1]): str(row[2]) for row in rows}
    return found


async def _postgresql_columns(side: Side) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    sql = """SELECT table_name, column_name, data_type FROM information_schema.columns
             WHERE table_schema = current_schema()"""
    for table, column, kind in await side.fetch(sql):
        found.setdefault(table, {})[column] = kind
    return found


async def _indexes(side: Side, *, on_sqlite: bool) -> set[str]:
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'index'"
        if on_sqlite
        else "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
    )
    return {str(row[0]) for row in await side.fetch(sql)}
