"""What calls give back, as types. Times are aware datetimes in UTC.

Fields may be added by the platform and are ignored until an SDK knows them; statuses are open texts for the same
reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec


class Booking(msgspec.Struct, frozen=True):
    """One booking of a contact. `booking_status` is CONFIRMED, WAITLISTED, CHECKED_IN, CANCELLED, or a later one."""

    booking_id: str
    booking_status: str
    external_id: str
    interaction_id: str
    event_id: str
    slot_id: str
    slot_start_date: datetime
    slot_end_date: datetime
    created_at: datetime
    event_title: str | None = None
    event_location: str | None = None
    ticket_type: str | None = None
    cancelled_at: datetime | None = None
    checked_in_at: datetime | None = None


class BookingsPage(msgspec.Struct, frozen=True):
    """One page of a list, by slot start and then id. `total_count` counts all pages."""

    bookings: list[Booking]
    page_number: int
    page_size: int
    total_count: int

    def __iter__(self) -> Iterator[Booking]:
        return iter(self.bookings)

    def __len__(self) -> int:
        return len(self.bookings)


class Quota(msgspec.Struct, frozen=True):
    """How much of a quota is left, and when it is whole again."""

    limit: int
    window_seconds: int
    remaining: int
    resets_in_seconds: int


class WhoAmI(msgspec.Struct, frozen=True):
    """The client as the platform sees it.

    allowed: the endpoints that are enabled now. quotas: by kind (`token`, `api`) and holder (`client`, `tenant`);
    None where nothing is limited.
    """

    client_id: str
    tenant: str
    environment: str
    audience: str
    allowed: list[str]
    token_expires_at: datetime
    secret_id: str
    secret_expires_at: datetime | None = None
    quotas: dict[str, dict[str, Quota | None]] = {}
