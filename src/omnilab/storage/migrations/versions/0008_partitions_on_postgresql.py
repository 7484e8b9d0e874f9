"""On PostgreSQL: audit records by month, so that retention drops whole months; bookings by tenant.

What was recorded so far stays where it is and becomes the partition `audit_records_before`: 0007 has proved that it
fits, so this takes no longer than a look at the catalogue. Bookings are copied under a lock, about a second for 200,000
of them; calls about bookings wait for it, and after a few seconds they are answered 503.

Programs of 0005 work on this schema: they name neither partitions nor the constraint.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SERVES_FROM = "0005"
MONTHS_AHEAD = 3
BOOKING_PARTITIONS = 8  # with the table itself they fit the 16 locks that a session of PostgreSQL takes cheaply

# The columns and keys of 0001.
_AUDIT = """
CREATE TABLE audit_records (
  request_id text COLLATE "C" NOT NULL, chain_position bigint NOT NULL, tenant_id text COLLATE "C" NOT NULL,
  outcome text COLLATE "C" NOT NULL, chain_id text COLLATE "C" NOT NULL, body text COLLATE "C" NOT NULL,
  link bytea NOT NULL, PRIMARY KEY (request_id, chain_position, tenant_id)
)"""
_BOOKINGS = """
CREATE TABLE bookings (
  tenant_id text COLLATE "C" NOT NULL, external_id text COLLATE "C" NOT NULL, slot_start_at bigint NOT NULL,
  booking_id text COLLATE "C" NOT NULL, booking_status text COLLATE "C" NOT NULL,
  interaction_id text COLLATE "C" NOT NULL, event_id text COLLATE "C" NOT NULL, event_title text COLLATE "C",
  event_location text COLLATE "C", slot_id text COLLATE "C" NOT NULL, slot_end_at bigint NOT NULL,
  ticket_type text COLLATE "C", created_at bigint NOT NULL, cancelled_at bigint, checked_in_at bigint,
  cancel_reason text COLLATE "C", PRIMARY KEY (tenant_id, external_id, slot_start_at, booking_id)
)"""
_REFUSALS = "ON audit_records (tenant_id, request_id) WHERE outcome = 'refused'"


def upgrade() -> None:
    _serves_from(SERVES_FROM)
    if op.get_bind().dialect.name != "postgresql":
        return
    _audit_by_month()
    _exchange_bookings("PARTITION BY HASH (tenant_id)", BOOKING_PARTITIONS)


def _serves_from(revision: str) -> None:
    """Write down the oldest program that may serve this schema."""
    op.execute("DELETE FROM installation WHERE name = 'schema_serves_from'")
    op.execute(f"INSERT INTO installation (name, value) VALUES ('schema_serves_from', '{revision}')")  # noqa: S608


def _audit_by_month() -> None:
    promised = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'audit_records_before'"
    floor = str(op.get_bind().scalar(sa.text(promised))).split("'")[1]
    op.execute("ALTER TABLE audit_records RENAME TO audit_records_before")
    for name in ("audit_records_pkey", "audit_records_in_chain", "audit_refusals"):
        op.execute(f"ALTER INDEX {name} RENAME TO {name.replace('audit', 'audit_before', 1)}")
    op.execute(f"{_AUDIT} PARTITION BY RANGE (request_id)")
    op.execute(f"CREATE INDEX audit_refusals {_REFUSALS}")
    op.execute(
        f"ALTER TABLE audit_records ATTACH PARTITION audit_records_before FOR VALUES FROM (MINVALUE) TO ('{floor}')"
    )
    op.execute("ALTER TABLE audit_records_before DROP CONSTRAINT audit_records_before")
    # Whatever lies in no month, so that no record is ever refused for want of one.
    op.execute("CREATE TABLE audit_records_rest PARTITION OF audit_records DEFAULT")
    for name, first, end in _months(floor):
        op.execute(f"CREATE TABLE {name} PARTITION OF audit_records FOR VALUES FROM ('{first}') TO ('{end}')")
    for name in ("audit_records_rest", *(name for name, _, _ in _months(floor))):
        # By partition: an index over all of them could not be unique, and `before` has it already.
        op.execute(f"CREATE UNIQUE INDEX {name}_in_chain ON {name} (chain_id, chain_position)")


def _months(floor: str) -> list[tuple[str, str, str]]:
    """Name, first request id and end of the months from `floor` on."""
    begin = datetime.fromtimestamp(int(floor.replace("-", ""), 16) / 1000, UTC)
    starts = [
        datetime(begin.year + (begin.month - 1 + ahead) // 12, (begin.month - 1 + ahead) % 12 + 1, 1, tzinfo=UTC)
        for ahead in range(MONTHS_AHEAD + 1)
    ]
    return [(f"audit_records_{first:%Y_%m}", _request_id(first), _request_id(end)) for first, end in pairwise(starts)]


def _request_id(moment: datetime) -> str:
    digits = f"{int(moment.timestamp()) * 1000:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _exchange_bookings(partitioned: str, partitions: int) -> None:
    op.execute("LOCK TABLE bookings IN ACCESS EXCLUSIVE MODE")
    op.execute("ALTER TABLE bookings RENAME TO bookings_old")
    for name in ("bookings_pkey", "bookings_by_id"):
        op.execute(f"ALTER INDEX {name} RENAME TO {name}_old")
    op.execute(f"{_BOOKINGS} {partitioned}")
    for number in range(partitions):
        bounds = f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {number})"
        op.execute(f"CREATE TABLE bookings_{number} PARTITION OF bookings {bounds}")
    op.execute("INSERT INTO bookings SELECT * FROM bookings_old")
    op.execute("CREATE UNIQUE INDEX bookings_by_id ON bookings (tenant_id, booking_id)")
    op.execute("DROP TABLE bookings_old")


def downgrade() -> None:
    op.execute("DELETE FROM installation WHERE name = 'schema_serves_from'")
    if op.get_bind().dialect.name != "postgresql":
        return
    _exchange_bookings("", 0)
    op.execute("ALTER TABLE audit_records RENAME TO audit_records_old")
    for name in ("audit_records_pkey", "audit_refusals"):
        op.execute(f"ALTER INDEX {name} RENAME TO {name}_old")
    op.execute(_AUDIT)
    op.execute("INSERT INTO audit_records SELECT * FROM audit_records_old")
    op.execute("DROP TABLE audit_records_old")
    op.execute("CREATE UNIQUE INDEX audit_records_in_chain ON audit_records (chain_id, chain_position)")
    op.execute(f"CREATE INDEX audit_refusals {_REFUSALS}")
    # As 0006 left it, with an end that no record has reached.
    op.execute("ALTER TABLE audit_records ADD CONSTRAINT audit_records_before CHECK (request_id < 'ffffffff')")
