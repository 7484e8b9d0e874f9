"""The schema can be spread by tenant: asked of PostgreSQL's own catalogue, with the exceptions named and reasoned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import databases

# Tables with a tenant_id whose key does not begin with it.
KEY_EXCEPTIONS = {
    "audit_records": "its key is in the order of time, which partitions it by month (docs/adr/0007, 0021)",
    "changes": "one feed for all processes, in one order; a day's worth, the same on every node",
    "client_directory": "a reference table: whose client is this?",
}
# Unique indexes that do not hold the tenant: what they promise has to hold over all tenants.
UNIQUE_EXCEPTIONS = {
    "tenants_tenant_key": "a tenant's key is its own over all tenants; a reference table where tenants are spread",
    "hand_offs_by_id": "whoever opens a link names no tenant; a reference table where tenants are spread",
}
_KEYS = """
SELECT c.relname, i.relname, x.indisprimary::int,
       (SELECT string_agg(a.attname, ' ' ORDER BY k.place)
        FROM unnest(x.indkey::int[]) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number)
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indisunique AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
  AND EXISTS (SELECT 1 FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped)
"""


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[list[tuple[str, str, int, list[str]]]]:
    """Table, index, whether it is the primary key, and its columns, of each unique index of a table of tenants."""
    with databases.using("postgresql"):
        databases.made_at(tmp_path / "omnilab.db")
        rows = databases.run_sql(tmp_path / "omnilab.db", _KEYS)
        yield [(table, index, primary, columns.split()) for table, index, primary, columns in rows]


def test_every_key_of_a_tenants_rows_begins_with_the_tenant(keys: list[tuple[str, str, int, list[str]]]) -> None:
    others = {table for table, _, primary, columns in keys if primary and columns[0] != "tenant_id"}
    assert others == set(KEY_EXCEPTIONS)
    assert len([1 for _, _, primary, _ in keys if primary]) > 12


def test_every_unique_index_of_a_tenants_rows_holds_the_tenant(keys: list[tuple[str, str, int, list[str]]]) -> None:
    others = {index for table, index, primary, columns in keys if not primary and "tenant_id" not in columns}
    assert others == set(UNIQUE_EXCEPTIONS)


def test_the_partitions_lie_by_tenant_and_by_time(tmp_path: Path) -> None:
    sql = "SELECT partrelid::regclass::text, partstrat FROM pg_partitioned_table ORDER BY 1"
    with databases.using("postgresql"):
        databases.made_at(tmp_path / "omnilab.db")
        assert databases.run_sql(tmp_path / "omnilab.db", sql) == [("audit_records", "r"), ("bookings", "h")]
