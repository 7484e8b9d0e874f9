"""The bodies of the Booking API's answers, as types that the API document shows, and their encoding.

Made for the hot path: a row of the database becomes a Struct in one call, and times are formatted once for all the
bookings that share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from omnilab.bookings.model.booking import Booking
from omnilab.bookings.model.times import shared_time_text, time_text
from omnilab.storage.statement import Row

_Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-12-01T10:00:00Z"])]
# An example and no enum: statuses may be added.
_Status = Annotated[str, Meta(examples=["CONFIRMED"])]


class BookingAnswer(msgspec.Struct, frozen=True, gc=False):
    """One booking. Times are RFC 3339 in UTC."""

    booking_id: str
    booking_status: _Status
    external_id: str
    interaction_id: str
    event_id: str
    event_title: str | None
    event_location: str | None
    slot_id: str
    slot_start_date: _Time
    slot_end_date: _Time
    ticket_type: str | None
    created_at: _Time
    cancelled_at: _Time | None
    checked_in_at: _Time | None


class BookingsPage(msgspec.Struct, frozen=True, gc=False):
    """One page of a contact's bookings, by slot start and then id. `total_count` counts all pages."""

    bookings: list[BookingAnswer]
    page_number: int
    page_size: int
    total_count: int


_encode = msgspec.json.Encoder().encode


def booking_answers(rows: Iterable[Booking | Row]) -> list[BookingAnswer]:
    """Bookings, or rows in the order of `Booking`'s fields, as callers see them."""
    return [
        BookingAnswer(
            booking_id, status, external_id, interaction_id, event_id, title, location, slot_id,
            shared_time_text(start), shared_time_text(end), ticket_type, time_text(created),
            None if cancelled is None else time_text(cancelled),
            None if checked_in is None else time_text(checked_in),
        )
        for (
            booking_id, status, external_id, interaction_id, event_id, title, location, slot_id,
            start, end, ticket_type, created, cancelled, checked_in,
        ) in rows
    ]  # fmt: skip


def encode_booking(booking: Booking) -> bytes:
    """The body of a write's answer."""
    return _encode(booking_answers([booking])[0])


def bookings_page(rows: Sequence[Row], total_count: int, *, page_number: int, page_size: int) -> BookingsPage:
    """A page as callers see it."""
    return BookingsPage(booking_answers(rows), page_number, page_size, total_count)


def encode_page(rows: Sequence[Row], total_count: int, *, page_number: int, page_size: int) -> bytes:
    """The body of a list's answer."""
    return _encode(bookings_page(rows, total_count, page_number=page_number, page_size=page_size))
