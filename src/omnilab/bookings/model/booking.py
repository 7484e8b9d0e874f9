"""Bookings and slots, and the rules of what may become of them.

A slot belongs to one event at one time and has so many places; CONFIRMED and CHECKED_IN bookings hold one each.
Nothing is promoted from the waiting list, nothing is un-cancelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from omnilab.errors import ConflictError

CONFIRMED = "CONFIRMED"
WAITLISTED = "WAITLISTED"
CHECKED_IN = "CHECKED_IN"
CANCELLED = "CANCELLED"
STATUSES = (CONFIRMED, WAITLISTED, CHECKED_IN, CANCELLED)
HOLDING = frozenset({CONFIRMED, CHECKED_IN})
CANCELLABLE = frozenset({CONFIRMED, WAITLISTED})

#: What callers may write for a status: ours, and the American spelling.
STATUS_OF = {status: status for status in STATUSES} | {"CANCELED": CANCELLED}


class Booking(NamedTuple):
    """One booking, in the order in which answers show it. Times are milliseconds since 1970 UTC."""

    booking_id: str
    booking_status: str
    external_id: str
    interaction_id: str
    event_id: str
    event_title: str | None
    event_location: str | None
    slot_id: str
    slot_start_at: int
    slot_end_at: int
    ticket_type: str | None
    created_at: int
    cancelled_at: int | None
    checked_in_at: int | None


class Slot(NamedTuple):
    """What a slot id stands for. `capacity` None is unlimited."""

    slot_id: str
    interaction_id: str
    event_id: str
    slot_start_at: int
    slot_end_at: int
    capacity: int | None
    places_taken: int


@dataclass(frozen=True, slots=True)
class ListFilters:
    """Which of a contact's bookings are wanted. None and the empty tuple mean: all. Both times exclude themselves."""

    interaction_id: str | None = None
    booking_id: str | None = None
    statuses: tuple[str, ...] = ()
    starts_after: int | None = None
    starts_before: int | None = None


NO_FILTERS = ListFilters()


class ListQuery(NamedTuple):
    """One page of one contact's bookings."""

    external_id: str
    page_size: int = 50
    page_number: int = 1
    filters: ListFilters = NO_FILTERS


def verify_cancellable(booking: Booking) -> None:
    """Raises ConflictError unless the booking may be cancelled as it stands."""
    if booking.booking_status == CHECKED_IN:
        raise ConflictError(
            "booking_checked_in",
            "The contact has already checked in; only CONFIRMED and WAITLISTED bookings can be cancelled.",
            check="state",
            expected="CONFIRMED or WAITLISTED",
            found=CHECKED_IN,
        )
    if booking.booking_status not in CANCELLABLE:
        raise ConflictError(
            "booking_already_cancelled",
            "The booking is already cancelled; nothing was changed.",
            check="state",
            expected="CONFIRMED or WAITLISTED",
            found=booking.booking_status,
        )


def slot_difference(known: Slot, wanted: Slot, *, any_capacity: bool = False) -> str | None:
    """The name of the first field in which a request's slot is another than the known one, or None."""
    for name in ("interaction_id", "event_id", "slot_start_at", "slot_end_at", "capacity"):
        if name == "capacity" and any_capacity:
            continue
        if getattr(known, name) != getattr(wanted, name):
            return _PUBLIC_NAMES.get(name, name)
    return None


_PUBLIC_NAMES = {"slot_start_at": "slot_start_date", "slot_end_at": "slot_end_date", "capacity": "slot_capacity"}


def not_found() -> ConflictError:
    """No such booking of this contact in this tenant; another's is the very same answer."""
    return ConflictError(
        "booking_not_found",
        "This contact has no booking with this booking_id.",
        check="state",
        expected="a booking of this contact",
        found="none",
    )


def slot_mismatch(field: str) -> ConflictError:
    """The slot is known with other data."""
    return ConflictError(
        "slot_mismatch",
        f"This slot_id is already in use with another {field}. Send the slot as it was first booked, "
        "or another slot_id.",
        check="state",
        expected=f"the slot's known {field}",
        found="another",
    )


def booking_exists() -> ConflictError:
    """The booking id is taken."""
    return ConflictError(
        "booking_exists",
        "A booking with this booking_id exists. Leave booking_id out to have one made.",
        check="state",
        expected="an unused booking_id",
        found="one in use",
    )


def slot_full() -> ConflictError:
    """No place left."""
    return ConflictError(
        "slot_full",
        "All places of this slot are taken.",
        check="state",
        expected="a free place",
        found="none",
    )
