"""The table of feedback. It belongs to no tenant: whoever reads a page is not known."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from omnilab.storage.tables import metadata

help_feedback = Table(
    "help_feedback",
    metadata,
    Column("feedback_id", Text, primary_key=True),
    Column("page", Text, nullable=False),
    Column("helpful", BigInteger, nullable=False),
    Column("comment", Text),
    Column("created_at", BigInteger, nullable=False),
    Index("help_feedback_by_time", "created_at"),
    sqlite_with_rowid=False,
)
