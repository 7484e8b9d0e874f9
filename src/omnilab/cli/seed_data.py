"""The bookings of `omnilab seed`: made up by number alone, so that the same numbers always make the same bookings."""

from __future__ import annotations

from collections.abc import Sequence

from omnilab.bookings.model.booking import CONFIRMED, Booking, Slot

BOOKINGS_PER_CONTACT = 3
BOOKINGS_PER_SLOT = 100
_FIRST_SLOT_AT = 1_893_456_000_000  # 2030-01-01T00:00:00Z: ahead of every clock that tests and benchmarks use
_HOUR_MS = 3_600_000


def seeded_slots(bookings: int) -> list[Slot]:
    """The slots of a tenant with so many bookings, each with the places they take."""
    count = max(1, -(-bookings // BOOKINGS_PER_SLOT))
    return [
        Slot(
            slot_id=f"slt_{number:08d}",
            interaction_id="int_seed",
            event_id="evt_seed",
            slot_start_at=_FIRST_SLOT_AT + number * _HOUR_MS,
            slot_end_at=_FIRST_SLOT_AT + (number + 1) * _HOUR_MS,
            capacity=None,
            places_taken=bookings // count + (number < bookings % count),
        )
        for number in range(count)
    ]


def seeded_bookings(numbers: range, slots: Sequence[Slot], created_at: int) -> list[Booking]:
    """The bookings of these numbers (from 0), in the order of the table's key: neighbours share a page."""
    rows = [_booking(number, slots[number % len(slots)], created_at) for number in numbers]
    rows.sort(key=lambda each: (each.external_id, each.slot_start_at))
    return rows


def _booking(number: int, slot: Slot, created_at: int) -> Booking:
    return Booking(
        booking_id=f"bkg_{number + 1:022d}",
        booking_status=CONFIRMED,
        external_id=f"contact-{number // BOOKINGS_PER_CONTACT + 1}",
        interaction_id=slot.interaction_id,
        event_id=slot.event_id,
        event_title="Seeded event",
        event_location="Hall 1",
        slot_id=slot.slot_id,
        slot_start_at=slot.slot_start_at,
        slot_end_at=slot.slot_end_at,
        ticket_type="standard",
        created_at=created_at,
        cancelled_at=None,
        checked_in_at=None,
    )
