"""What type checkers make of the SDK. Not run: mypy and, where it is there, pyright read it (test_typing.py)."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

import httpx

from omnilab.client import (
    AccessToken,
    AsyncListing,
    AsyncOmniLab,
    Booking,
    BookingsPage,
    Listing,
    OmniLab,
    OmniLabAuth,
    OmniLabError,
    WhoAmI,
)
from omnilab.client.testing import FakeOmniLab


def in_threads(client: OmniLab) -> None:
    listing = client.bookings.list("contact-1", booking_status=["CONFIRMED"], starts_after=datetime.max, page_size=50)
    assert_type(listing, Listing)
    for booking in listing:
        assert_type(booking, Booking)
        assert_type(booking.slot_start_date, datetime)
        assert_type(booking.cancelled_at, datetime | None)
    for page in listing.pages():
        assert_type(page, BookingsPage)
    assert_type(client.bookings.cancel("contact-1", "bkg_1", reason="ill", idempotency_key=False), Booking)
    assert_type(client.whoami(), WhoAmI)
    assert_type(client.access_token(), AccessToken)
    client.bookings.list("contact-1", booking_state="CONFIRMED")  # wrong: no such filter
    client.bookings.cancel("contact-1")  # wrong: which booking?
    client.bookings.cancel("contact-1", "bkg_1", idempotency_key=True)  # wrong: False or a text
    OmniLab(client_id=5)  # wrong: a text
    OmniLab(clientid="cli_1")  # wrong: no such option
    OmniLab(transport=httpx.AsyncHTTPTransport())  # wrong: the other colour


async def in_tasks(client: AsyncOmniLab) -> None:
    listing = client.bookings.list("contact-1")
    assert_type(listing, AsyncListing)
    async for booking in listing:
        assert_type(booking, Booking)
    async for page in listing.pages():
        assert_type(page, BookingsPage)
    assert_type(await client.bookings.cancel("contact-1", "bkg_1"), Booking)
    assert_type(await client.whoami(), WhoAmI)
    for each in listing:  # wrong: not for threads
        _ = each


def in_their_own_client() -> None:
    auth: httpx.Auth = OmniLabAuth(client_id="cli_1", origins=["https://reports.example"])
    httpx.Client(auth=auth)


def when_it_goes_wrong(error: OmniLabError) -> None:
    assert_type(error.code, str)
    assert_type(error.request_id, str | None)
    assert_type(error.status, int | None)
    assert_type(error.retry_after_seconds, float | None)


def in_tests(fake: FakeOmniLab) -> None:
    assert_type(fake.client(), OmniLab)
    assert_type(fake.async_client(total_seconds=1), AsyncOmniLab)
    assert_type(fake.add_booking("contact-1"), Booking)
    assert_type(fake.bookings, list[Booking])
