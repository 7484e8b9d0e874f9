"""On PostgreSQL, the first of three steps to audit records by month: from now on none may be made that lies too late.

The records of today will be one partition. That they all fit it is promised here, proved in 0007 while others write,
and used in 0008, where the exchange then needs no look at any record. The promise ends two months from now, or now
where there are no records yet; the three steps are one command. SQLite has no partitions and keeps its tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The first request id (a UUIDv7, so its first 48 bits are milliseconds) of the month so many months from now.
_FLOOR = """
SELECT substr(digits, 1, 8) || '-' || substr(digits, 9, 4)
FROM (SELECT lpad(to_hex((extract(epoch FROM month AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0') AS digits
      FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => :months) AS month) AS m) AS d
"""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    is_empty = connection.scalar(sa.text("SELECT NOT EXISTS (SELECT 1 FROM audit_records)"))
    floor = connection.scalar(sa.text(_FLOOR), {"months": 0 if is_empty else 2})
    op.execute(
        f"ALTER TABLE audit_records ADD CONSTRAINT audit_records_before CHECK (request_id < '{floor}') NOT VALID"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("audit_records_before", "audit_records")
