"""The Booking API as calls: what is sent, what comes back, and how a list goes from page to page. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypedDict
from urllib.parse import quote, urlencode

import msgspec

from omnilab.client.answers import Reader
from omnilab.client.calls import Call
from omnilab.client.clock import new_key
from omnilab.client.errors import ConfigurationError
from omnilab.client.results import Booking, BookingsPage, WhoAmI

LIST_PATH = "/v1/interactions:fetchContactBookings"
CANCEL_PATH = "/v1/interactions:cancelContactBooking"
WHOAMI_PATH = "/v1/oauth:whoami"
PAGE_SIZE = 200

PAGES = Reader(BookingsPage)
BOOKINGS = Reader(Booking)
WHOAMI = Reader(WhoAmI)


class Filters(TypedDict, total=False):
    """Which of a contact's bookings are wanted; what is left out does not filter."""

    interaction_id: str
    booking_id: str
    booking_status: str | Iterable[str]
    """`CONFIRMED`, `WAITLISTED`, `CHECKED_IN`, `CANCELLED`, one or several."""
    starts_after: datetime | str
    """Only slots that start later than this; a datetime with its time zone, or RFC 3339."""
    starts_before: datetime | str
    page_size: int
    """Bookings fetched at once, 1 to 200 (default 200)."""


def list_target(external_id: str, filters: Filters, page_number: int) -> str:
    """Path and query of one page. Raises ConfigurationError for a time without a time zone."""
    query: list[tuple[str, str]] = [("external_id", external_id)]
    query += [(name, str(filters[name])) for name in ("interaction_id", "booking_id") if filters.get(name)]
    status = filters.get("booking_status")
    if status:
        query += [("booking_status", each) for each in ([status] if isinstance(status, str) else status)]
    query += [(name, _time(name, filters[name])) for name in ("starts_after", "starts_before") if filters.get(name)]
    query += [("page_size", str(filters.get("page_size", PAGE_SIZE))), ("page_number", str(page_number))]
    return f"{LIST_PATH}?{urlencode(query, quote_via=quote, safe='')}"


def page_call(external_id: str, filters: Filters, page_number: int) -> Call:
    """One page of a list."""
    return Call("GET", list_target(external_id, filters, page_number))


def cancel_call(
    external_id: str, booking_id: str, *, reason: str | None, idempotency_key: str | Literal[False] | None
) -> Call:
    """A cancel. Without a key (False) it is never repeated; None makes a key."""
    order = {"external_id": external_id, "booking_id": booking_id}
    if reason is not None:
        order["reason"] = reason
    key = new_key() if idempotency_key is None else idempotency_key
    return Call("POST", CANCEL_PATH, body=msgspec.json.encode(order), idempotency_key=key or None)


def whoami_call() -> Call:
    """Who the client is."""
    return Call("GET", WHOAMI_PATH)


class Pager:
    """Goes through a list's pages and gives each booking once.

    Bookings can go out of a filtered list while it is read: who lists the confirmed ones and cancels them moves all
    others up by a place, over the edge of a page. When the total has shrunk the list is read from its beginning again,
    and what was given before is left out.
    """

    def __init__(self) -> None:
        self.number = 1
        self.done = False
        self._total: int | None = None
        self._given: set[str] = set()

    def take(self, page: BookingsPage) -> BookingsPage | None:
        """The page with what was not given before, None to leave it and go on; sets `number` and `done`."""
        shrunk = self._total is not None and page.total_count < self._total
        self._total = page.total_count
        if shrunk and self.number > 1:
            self.number = 1
            return None
        fresh = [each for each in page.bookings if each.booking_id not in self._given]
        self._given.update(each.booking_id for each in fresh)
        if not page.bookings or self.number * page.page_size >= page.total_count:
            self.done = True
        else:
            self.number += 1
        return page if len(fresh) == len(page.bookings) else msgspec.structs.replace(page, bookings=fresh)


def _time(name: str, value: datetime | str) -> str:
    if isinstance(value, str):
        return value
    if value.utcoffset() is None:
        raise ConfigurationError.of(f"{name} has no time zone; which moment it means would be a guess.")
    return value.isoformat()
