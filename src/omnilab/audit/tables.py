"""The tables of the durable record: one row a decision, and the checkpoints of the chains."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from omnilab.storage.tables import metadata

# The key is in the order of time (a request id is a UUIDv7), so that a commit appends to the end of one B-tree. A key
# that began with the tenant was measured on SQLite to cost 45 µs of CPU a record instead of 16: every record of a
# commit touched a page of its own (docs/adr/0007). `tenant_id` is part of the key, as a distributed engine wants it.
audit_records = Table(
    "audit_records",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("part", BigInteger, primary_key=True),  # 0, or 1… where one request left several records
    Column("tenant_id", Text, primary_key=True),
    Column("outcome", Text, nullable=False),  # granted | refused
    Column("body", Text, nullable=False),  # canonical JSON of the record; the chain covers exactly these bytes
    Column("chain_id", Text, nullable=False),  # one database connection of one process run
    Column("chain_position", BigInteger, nullable=False),  # 1, 2, 3… without a gap
    Column("link", LargeBinary, nullable=False),  # HMAC-SHA-256(chain key, previous link ‖ key columns ‖ body)
    sqlite_with_rowid=False,
)
# "Why was this tenant refused?" is asked often and must not read the granted ones.
Index(
    "audit_refusals",
    audit_records.c.tenant_id,
    audit_records.c.request_id,
    sqlite_where=audit_records.c.outcome == "refused",
    postgresql_where=audit_records.c.outcome == "refused",
)

audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain_id", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("head_position", BigInteger, nullable=False),
    Column("head_link", LargeBinary, nullable=False),
)
