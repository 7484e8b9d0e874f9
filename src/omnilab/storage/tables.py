"""The one schema: the metadata that every store adds its tables to, and the column types both databases share.

Stores execute on the driver directly, past SQLAlchemy's result processing, so only types that need none are used:
integers, text and bytes. Times are whole milliseconds since 1970 UTC in columns named `…_at`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

# The platform's own tenant: owns records that have no proven tenant, and the platform's own changes.
PLATFORM_TENANT = "ten_0"

metadata = MetaData()

installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# One row a provisioning change, in the order in which changes became visible. `kind` names what to reload.
changes = Table(
    "changes",
    metadata,
    # SQLite gives AUTOINCREMENT only to a column of exactly the type INTEGER.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("tenant_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("client_id", Text),
    Column("occurred_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
