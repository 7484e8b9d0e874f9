"""The tables of bookings and of the slots that hold their places."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text

from omnilab.storage.tables import metadata

slots = Table(
    "slots",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("slot_id", Text, primary_key=True),
    Column("interaction_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("slot_start_at", BigInteger, nullable=False),
    Column("slot_end_at", BigInteger, nullable=False),
    Column("capacity", BigInteger),  # NULL = unlimited
    Column("places_taken", BigInteger, nullable=False),  # CONFIRMED and CHECKED_IN bookings
    sqlite_with_rowid=False,
)

# The key is the order in which a contact's bookings are listed: one contact's list is one short range of one
# B-tree, whatever the size of the table.
bookings = Table(
    "bookings",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("slot_start_at", BigInteger, primary_key=True),
    Column("booking_id", Text, primary_key=True),
    Column("booking_status", Text, nullable=False),  # CONFIRMED | WAITLISTED | CHECKED_IN | CANCELLED
    Column("interaction_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_title", Text),
    Column("event_location", Text),
    Column("slot_id", Text, nullable=False),
    Column("slot_end_at", BigInteger, nullable=False),
    Column("ticket_type", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("cancelled_at", BigInteger),
    Column("checked_in_at", BigInteger),
    Column("cancel_reason", Text),
    Index("bookings_by_id", "tenant_id", "booking_id", unique=True),
    sqlite_with_rowid=False,
)
