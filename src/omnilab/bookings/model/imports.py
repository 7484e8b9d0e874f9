"""What a row of an import file must be: from named values to a booking with its slot, or the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from omnilab.bookings.model import fields
from omnilab.bookings.model.booking import CANCELLED, CHECKED_IN, CONFIRMED, STATUS_OF, STATUSES, Booking, Slot
from omnilab.bookings.model.times import time_ms

_IDS = ("booking_id", "external_id", "interaction_id", "event_id", "slot_id")
_TEXTS = ("event_title", "event_location", "ticket_type")
_SLOT_TIMES = ("slot_start_date", "slot_end_date")
_TIMES = ("created_at", "cancelled_at", "checked_in_at")

#: The columns of a CSV file; the last four may be left out.
COLUMNS = (
    *("booking_id", "external_id", "interaction_id", "event_id", "event_title", "event_location", "slot_id"),
    *("slot_start_date", "slot_end_date", "slot_capacity", "ticket_type"),
    *("booking_status", "created_at", "cancelled_at", "checked_in_at"),
)
REQUIRED_COLUMNS = COLUMNS[:-4]
_KNOWN = frozenset(COLUMNS)
_STATUS_OF_TIME = {"cancelled_at": CANCELLED, "checked_in_at": CHECKED_IN}


class ImportedBooking(NamedTuple):
    """A booking as a file has it, and the slot it says it is in."""

    booking: Booking
    slot: Slot


class RowRefusedError(ValueError):
    """A row cannot be imported; the text says why and quotes nothing."""


def read_row(row: Mapping[str, Any], now_ms: int) -> ImportedBooking:
    """Read one row; missing values are None or "". Raises RowRefusedError naming the first bad column.

    now_ms: the time of the import, for bookings without `created_at`.
    """
    if not row.keys() <= _KNOWN:
        raise RowRefusedError("it has a column that is not known; the columns are " + ", ".join(COLUMNS))
    ids = {name: _checked(row, name, fields.id_problem) for name in _IDS}
    texts = {name: _optional(row, name, fields.text_problem) for name in _TEXTS}
    start, end = (_time(_checked(row, name, fields.time_problem)) for name in _SLOT_TIMES)
    if end < start:
        raise RowRefusedError("slot_end_date must not be before slot_start_date")
    status = _status(row)
    times = {name: _optional_time(row, name, status) for name in _TIMES}
    created_at = times["created_at"]
    slot = Slot(ids["slot_id"], ids["interaction_id"], ids["event_id"], start, end, _capacity(row), 0)
    booking = Booking(
        booking_id=ids["booking_id"],
        booking_status=status,
        external_id=ids["external_id"],
        interaction_id=slot.interaction_id,
        event_id=slot.event_id,
        event_title=texts["event_title"],
        event_location=texts["event_location"],
        slot_id=slot.slot_id,
        slot_start_at=start,
        slot_end_at=end,
        ticket_type=texts["ticket_type"],
        created_at=now_ms if created_at is None else created_at,
        cancelled_at=times["cancelled_at"],
        checked_in_at=times["checked_in_at"],
    )
    return ImportedBooking(booking, slot)


def _checked(row: Mapping[str, Any], name: str, problem_of: Callable[[str], str | None]) -> str:
    value = row.get(name)
    if value is None or value == "":
        raise RowRefusedError(f"{name} is missing")
    if not isinstance(value, str):
        raise RowRefusedError(f"{name} must be a string")
    if problem := problem_of(value):
        raise RowRefusedError(f"{name} {problem}")
    return value


def _optional(row: Mapping[str, Any], name: str, problem_of: Callable[[str], str | None]) -> str | None:
    return None if row.get(name) in (None, "") else _checked(row, name, problem_of)


def _optional_time(row: Mapping[str, Any], name: str, status: str) -> int | None:
    text = _optional(row, name, fields.time_problem)
    if text is None:
        return None
    only = _STATUS_OF_TIME.get(name, status)
    if status != only:
        raise RowRefusedError(f"{name} is given, but booking_status is not {only}")
    return _time(text)


def _time(text: str) -> int:
    at_ms = time_ms(text)
    assert at_ms is not None, "the text was checked"
    return at_ms


def _status(row: Mapping[str, Any]) -> str:
    value = row.get("booking_status")
    if value is None or value == "":
        return CONFIRMED
    status = STATUS_OF.get(value) if isinstance(value, str) else None
    if status is None:
        raise RowRefusedError("booking_status must be one of " + ", ".join(STATUSES))
    return status


def _capacity(row: Mapping[str, Any]) -> int | None:
    value = row.get("slot_capacity")
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if type(value) is not int:
        raise RowRefusedError("slot_capacity must be a whole number, or empty for unlimited")
    if problem := fields.capacity_problem(value):
        raise RowRefusedError(f"slot_capacity {problem}")
    return value
