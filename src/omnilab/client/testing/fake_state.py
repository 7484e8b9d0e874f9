"""What the fake remembers: bookings, live tokens, first answers of idempotency keys. Knows nothing of HTTP."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from omnilab.client.clock import Clock
from omnilab.client.results import Booking
from omnilab.client.testing.fake_http import Reply

#: The fake's date; it does not move.
TODAY = datetime(2026, 1, 1, tzinfo=UTC)
CANCELLABLE = ("CONFIRMED", "WAITLISTED")


class FakeClock(Clock):
    """The real clock, set forward at will."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def now(self) -> float:
        return super().now() + self._ahead_seconds

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead_seconds += seconds


class FakeTokens:
    """Tokens that were issued and still count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._live: dict[str, float] = {}
        self._revoked: set[str] = set()
        self._numbers = itertools.count(1)
        self.issued = 0

    def issue(self, lifetime_seconds: float) -> str:
        self.issued += 1
        # Of the form of a JWT, so that whatever masks tokens in logs recognises it.
        token = f"eyJmYWtl.eyJ{next(self._numbers):08d}.fake-signature"
        self._live[token] = self._clock.now() + lifetime_seconds
        return token

    def revoke_all(self) -> None:
        self._revoked.update(self._live)

    def code_of(self, token: str) -> str:
        """The code that a call with this token is refused with, "" if it counts."""
        if token not in self._live:
            return "token_malformed"
        if token in self._revoked:
            return "token_revoked"
        return "token_expired" if self._clock.now() >= self._live[token] else ""


class FakeBookings:
    """Bookings of contacts, as the platform keeps and sorts them."""

    def __init__(self) -> None:
        self._rows: dict[str, Booking] = {}
        self._numbers = itertools.count(1)
        self.cancelled = 0

    def add(self, external_id: str, fields: dict[str, Any]) -> Booking:
        number = next(self._numbers)
        starts_at = TODAY + timedelta(days=30, hours=number)
        made: dict[str, Any] = {
            "booking_id": f"bkg_{number:08d}",
            "booking_status": "CONFIRMED",
            "interaction_id": "int_1",
            "event_id": "evt_1",
            "slot_id": f"slt_{number}",
            "slot_start_date": starts_at,
            "slot_end_date": starts_at + timedelta(hours=1),
            "created_at": TODAY,
        }
        booking = msgspec.convert(made | fields | {"external_id": external_id}, Booking)
        self._rows[booking.booking_id] = booking
        return booking

    def all(self) -> list[Booking]:
        return sorted(self._rows.values(), key=lambda each: (each.slot_start_date, each.booking_id))

    def find(self, external_id: str, booking_id: str) -> Booking | None:
        booking = self._rows.get(booking_id)
        return booking if booking is not None and booking.external_id == external_id else None

    def cancel(self, booking: Booking) -> Booking:
        self.cancelled += 1
        done = msgspec.structs.replace(booking, booking_status="CANCELLED", cancelled_at=TODAY)
        self._rows[booking.booking_id] = done
        return done


class FakeState:
    """One tenant with one client. What has no underscore may be set at any time, and counts from then on."""

    def __init__(self, *, tenant: str = "acme", lifetime_seconds: float = 3600) -> None:
        self.tenant = tenant
        self.client_id = "cli_0000000000000000000fake"
        self.client_secret = "omni_dev_fakefakefakefakefakefakefakefakefakefakefak0d19WF"
        self.audience = f"urn:omnilab:development:{tenant}"
        self.base_url = "http://omnilab.localhost"
        self.lifetime_seconds = lifetime_seconds
        self.allowed = ["bookings:cancel", "bookings:read"]
        self.clock = FakeClock()
        self.tokens = FakeTokens(self.clock)
        self.store = FakeBookings()
        self.first_answers: dict[tuple[str, str], tuple[bytes, Reply]] = {}
