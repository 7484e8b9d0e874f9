"""The tables of the durable record: one row a decision, and the head of every chain and where retention cut it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from omnilab.storage.tables import metadata

# The key is in the order of time (a request id is a UUIDv7), so that a commit appends to the end of each B-tree. A key
# that began with the tenant was measured on SQLite to cost 45 µs of CPU a record: every record of a commit touched a
# page of its own. Without row ids the key's inner pages would hold whole records (docs/adr/0007). `tenant_id` is part
# of the key, as a distributed engine wants it.
audit_records = Table(
    "audit_records",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("chain_position", BigInteger, primary_key=True),  # 1, 2, 3… without a gap; tells apart one request's records
    Column("tenant_id", Text, primary_key=True),
    Column("outcome", Text, nullable=False),  # granted | refused | checkpoint
    Column("chain_id", Text, nullable=False),  # one database connection of one process run
    Column("body", Text, nullable=False),  # canonical JSON of the record; the chain covers exactly these bytes
    Column("link", LargeBinary, nullable=False),  # HMAC-SHA-256(chain key, previous link ‖ key columns ‖ body)
)
# "Why was this tenant refused?" is asked often and must not read the granted ones. PostgreSQL has it too: its migration
# says so. Said here it would load PostgreSQL's dialect into every process, 0.15 s and 8 MB.
Index(
    "audit_refusals",
    audit_records.c.tenant_id,
    audit_records.c.request_id,
    sqlite_where=audit_records.c.outcome == "refused",
)
# The way `audit verify` walks. Each chain appends to a page of its own: measured 0.4–0.9 µs a record.
Index("audit_records_in_chain", audit_records.c.chain_id, audit_records.c.chain_position, unique=True)

# One row a chain, rewritten with every commit of its writer: without it the end of a chain could be cut off unseen.
audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain_id", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("head_position", BigInteger, nullable=False),  # the newest record's place
    Column("head_at", BigInteger, nullable=False),  # when it last took a record that is no checkpoint
    Column("head_seal", LargeBinary, nullable=False),  # HMAC-SHA-256 over the rest of this row and the newest link
    sqlite_with_rowid=False,
)

# One row a chain that retention has cut: the walk begins after it. Without the key none can be made or moved.
audit_cuts = Table(
    "audit_cuts",
    metadata,
    Column("chain_id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),  # the last record that retention let go of
    Column("link", LargeBinary, nullable=False),  # and its link
    Column("seal", LargeBinary, nullable=False),
    Column("cut_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
