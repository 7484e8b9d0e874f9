"""What one installation is: its environment, its issuer and its sealed keys, as named values."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, select

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.storage.tables import installation

_GET = Statement(select(installation.c.value).where(installation.c.name == bindparam("wanted")), "wanted")
_REMOVE = Statement(delete(installation).where(installation.c.name == bindparam("wanted")), "wanted")
_SET = Statement(insert(installation), "name", "value")


async def find_value(reader: Reader, name: str) -> str | None:
    """The value of that name, or None before `init`."""
    row = await reader.fetch_one(_GET, name)
    return None if row is None else str(row[0])


async def remove_value(tx: Transaction, name: str) -> None:
    """Take a value away; one that is not there is no error."""
    await tx.execute(_REMOVE, name)


async def set_value(tx: Transaction, name: str, value: str) -> None:
    """Put a value under a name, replacing what was there."""
    await tx.execute(_REMOVE, name)
    await tx.execute(_SET, name, value)
