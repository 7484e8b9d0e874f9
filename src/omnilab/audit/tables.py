"""The tables of the durable record: one row a decision, and the checkpoints of the chains."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from omnilab.storage.tables import metadata

audit_records = Table(
    "audit_records",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),  # UUIDv7: ordered by time within the tenant
    Column("part", BigInteger, primary_key=True),  # 0, or 1… where one request left several records
    Column("body", Text, nullable=False),  # canonical JSON of the record; the chain covers exactly these bytes
    Column("chain_id", Text, nullable=False),  # one database connection of one process run
    Column("chain_position", BigInteger, nullable=False),  # 1, 2, 3… without a gap
    Column("link", LargeBinary, nullable=False),  # HMAC-SHA-256(chain key, previous link ‖ key columns ‖ body)
    sqlite_with_rowid=False,
)

audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain_id", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("head_position", BigInteger, nullable=False),
    Column("head_link", LargeBinary, nullable=False),
)
