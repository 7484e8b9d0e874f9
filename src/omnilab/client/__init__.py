"""OmniLab from your own backend: tokens that look after themselves, and the calls of the Booking API.

    from omnilab.client import OmniLab

    client = OmniLab()        # OMNILAB_CLIENT_ID, …_CLIENT_SECRET or …_FILE, …_AUDIENCE, …_BASE_URL
    for booking in client.bookings.list("contact-1", booking_status="CONFIRMED"):
        client.bookings.cancel("contact-1", booking.booking_id)

`AsyncOmniLab` is the same for asyncio, `OmniLabAuth` gives the token to your own httpx client, and
`omnilab.client.testing` has a fake platform for your own tests. Make one client for each set of credentials and share
it: all threads and tasks then share one token.

Promises: one token request however many ask at once; renewal in the background at 80 % of a token's life; after a 401
one new token and one retry; a valid token serves on while the token service is away; reads are repeated after 429, 5xx
and lost connections, cancels too, under an idempotency key; no secret and no token in any repr, log or exception. The
machine's date does not matter. An island: imports nothing else of OmniLab's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omnilab.client.async_client import AsyncBookings, AsyncListing, AsyncOmniLab
from omnilab.client.bookings import Filters
from omnilab.client.clock import Clock
from omnilab.client.errors import (
    AuthenticationError,
    BookingAlreadyCancelledError,
    BookingCheckedInError,
    BookingExistsError,
    BookingNotFoundError,
    ConfigurationError,
    ConflictError,
    FieldProblem,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    NoAnswerError,
    NotAllowedError,
    OmniLabError,
    RateLimitedError,
    RefusedError,
    SlotFullError,
    SlotMismatchError,
    TokenRefusedError,
    UnavailableError,
    UnreadableAnswerError,
)
from omnilab.client.limits import Limit
from omnilab.client.results import Booking, BookingsPage, Quota, WhoAmI
from omnilab.client.settings import Options
from omnilab.client.sync_client import Bookings, Listing, OmniLab
from omnilab.client.token import AccessToken

if TYPE_CHECKING:
    from omnilab.client.auth import OmniLabAuth

__all__ = [
    "OmniLab",
    "AsyncOmniLab",
    "OmniLabAuth",
    "Options",
    "Filters",
    "Bookings",
    "AsyncBookings",
    "Listing",
    "AsyncListing",
    "Booking",
    "BookingsPage",
    "WhoAmI",
    "Quota",
    "Limit",
    "AccessToken",
    "Clock",
    "OmniLabError",
    "ConfigurationError",
    "NoAnswerError",
    "UnreadableAnswerError",
    "RefusedError",
    "TokenRefusedError",
    "AuthenticationError",
    "NotAllowedError",
    "InvalidRequestError",
    "ConflictError",
    "BookingNotFoundError",
    "BookingAlreadyCancelledError",
    "BookingCheckedInError",
    "BookingExistsError",
    "SlotFullError",
    "SlotMismatchError",
    "IdempotencyInProgressError",
    "IdempotencyKeyReusedError",
    "RateLimitedError",
    "UnavailableError",
    "FieldProblem",
]


def __getattr__(name: str) -> object:
    # It is a subclass of httpx's; the rest of the SDK loads httpx when a client is made.
    if name == "OmniLabAuth":
        from omnilab.client.auth import OmniLabAuth  # noqa: PLC0415

        return OmniLabAuth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
