"""The table of kept answers to writes that carried an `Idempotency-Key`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from omnilab.storage.tables import metadata

idempotency_records = Table(
    "idempotency_records",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("client_id", Text, primary_key=True),
    Column("call", Text, primary_key=True),  # the operation, so that aliases are one call
    Column("key_digest", LargeBinary, primary_key=True),  # HMAC of the caller's key
    Column("body_digest", LargeBinary, nullable=False),  # HMAC of the parsed body in canonical form
    Column("status", BigInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("idempotency_by_expiry", "expires_at"),
    sqlite_with_rowid=False,
)
