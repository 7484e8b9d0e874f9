"""All rows of one tenant, whichever table they stand in, removed page by page so that no writer waits long.

Knows the tables from the schema itself: a table that is added later is emptied too. What stays is named here: the
tenant's own row and the directory of its clients (a key and an id are never used again, and a refusal can still be
explained), the audit, and the change feed.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import Table, bindparam, delete, select, tuple_

from omnilab.storage.database import Transaction
from omnilab.storage.statement import Statement
from omnilab.storage.tables import metadata

KEPT = frozenset({"tenants", "client_directory", "audit_records", "changes"})
PAGE_ROWS = 500


def tables_of_tenants() -> list[Table]:
    """The tables whose rows go with their tenant."""
    return [table for table in metadata.sorted_tables if "tenant_id" in table.columns and table.name not in KEPT]


async def remove_page(tx: Transaction, table: Table, tenant_id: str) -> int:
    """Remove up to `PAGE_ROWS` rows of one tenant; returns how many there were."""
    return await tx.execute(_removal(table), tenant_id)


@cache
def _removal(table: Table) -> Statement:
    key = list(table.primary_key.columns)
    page = select(*key).where(table.c.tenant_id == bindparam("wanted")).limit(PAGE_ROWS)
    return Statement(delete(table).where(tuple_(*key).in_(page)), "wanted")
