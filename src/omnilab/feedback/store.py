"""SQL of feedback."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, delete, select

from omnilab.feedback.tables import help_feedback
from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement

_COLUMNS = help_feedback.c
_NEWEST = Statement(
    select(help_feedback)
    .where(_COLUMNS.created_at >= bindparam("since"))
    .order_by(_COLUMNS.created_at.desc(), _COLUMNS.feedback_id.desc())
    .limit(bindparam("at_most")),
    "since",
    "at_most",
)
_PRUNE = Statement(delete(help_feedback).where(_COLUMNS.created_at < bindparam("before")), "before")


class Entry(NamedTuple):
    """One reader's word on one page. helpful: 1 or 0. created_at: milliseconds since 1970 UTC."""

    feedback_id: str
    page: str
    helpful: int
    comment: str | None
    created_at: int


async def insert_entry(tx: Transaction, entry: Entry) -> None:
    """Keep an entry."""
    await tx.insert_rows(help_feedback, [entry])


async def newest_entries(reader: Reader, *, since_ms: int, at_most: int) -> list[Entry]:
    """Entries since a time, the newest first."""
    return [Entry(*row) for row in await reader.fetch(_NEWEST, since_ms, at_most)]


async def prune_entries(tx: Transaction, before_ms: int) -> int:
    """Forget entries older than a time. Returns how many."""
    return await tx.execute(_PRUNE, before_ms)
