"""The client for asyncio: thin, for everything is decided in `calls.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeVar, Unpack

from omnilab.client.assembly import assemble
from omnilab.client.bookings import (
    BOOKINGS,
    PAGES,
    WHOAMI,
    Filters,
    Pager,
    cancel_call,
    page_call,
    whoami_call,
)
from omnilab.client.calls import Caller
from omnilab.client.effects import Flow
from omnilab.client.limits import Limit
from omnilab.client.results import Booking, BookingsPage, WhoAmI
from omnilab.client.settings import Options
from omnilab.client.sync_client import described
from omnilab.client.token import AccessToken

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class Run(Protocol):
    """A door's way to run a flow."""

    async def __call__(self, flow: Flow[T]) -> T: ...


class AsyncOmniLab:
    """A client for asyncio; make one and share it among all tasks. See `Options` for what it takes.

    transport: an `httpx.AsyncBaseTransport` used instead of its own, for tests and special networks.
    Raises ConfigurationError, which names every setting that is missing.

    >>> import asyncio
    >>> from omnilab.client.testing import FakeOmniLab
    >>> fake = FakeOmniLab()
    >>> _ = fake.add_booking("contact-1", booking_id="bkg_1")
    >>> async def cancel_all():
    ...     async with AsyncOmniLab(environ=fake.environ, transport=fake.transport) as client:
    ...         async for booking in client.bookings.list("contact-1", booking_status="CONFIRMED"):
    ...             print((await client.bookings.cancel("contact-1", booking.booking_id)).booking_status)
    >>> asyncio.run(cancel_all())
    CANCELLED
    """

    def __init__(self, *, transport: httpx.AsyncBaseTransport | None = None, **options: Unpack[Options]) -> None:
        self._settings, self._caller = assemble(options)
        # Loaded now, not with the package: httpx is most of what importing the SDK would cost. And not with the first
        # call: a process that forks while a thread is loading a module leaves its child waiting for that thread.
        from omnilab.client.tasks import TaskDoor  # noqa: PLC0415

        self._door = TaskDoor(self._settings, transport)
        self.bookings = AsyncBookings(self._caller, self._run)

    async def whoami(self) -> WhoAmI:
        """Who the client is, which endpoints are enabled, what is left of the quotas. Needs no grant."""
        return await self._run(self._caller.call(whoami_call(), WHOAMI))

    async def access_token(self) -> AccessToken:
        """A token to call with: the one in use, or a new one. `reveal()` shows it."""
        return await self._run(self._caller.token())

    @property
    def limits(self) -> list[Limit]:
        """What the last answer said is left of the quotas; empty where nothing is limited."""
        return self._caller.limits.told()

    async def aclose(self) -> None:
        """Close this event loop's connections. The client can be used again."""
        await self._door.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return described(self, self._settings)

    async def _run(self, flow: Flow[T]) -> T:
        return await self._door.run(flow)


class AsyncBookings:
    """`client.bookings`."""

    def __init__(self, caller: Caller, run: Run) -> None:
        self._caller = caller
        self._run = run

    def list(self, external_id: str, **filters: Unpack[Filters]) -> AsyncListing:
        """As `Bookings.list`, for `async for`."""
        return AsyncListing(self._caller, self._run, external_id, filters)

    async def cancel(
        self,
        external_id: str,
        booking_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | Literal[False] | None = None,
    ) -> Booking:
        """As `Bookings.cancel`."""
        call = cancel_call(external_id, booking_id, reason=reason, idempotency_key=idempotency_key)
        return await self._run(self._caller.call(call, BOOKINGS))


class AsyncListing:
    """A list that is fetched page by page. Iterate it for bookings, `pages()` for pages; each time it begins anew."""

    def __init__(self, caller: Caller, run: Run, external_id: str, filters: Filters) -> None:
        self._caller = caller
        self._run = run
        self._external_id = external_id
        self._filters = filters

    async def __aiter__(self) -> AsyncIterator[Booking]:
        async for page in self.pages():
            for booking in page:
                yield booking

    async def pages(self) -> AsyncIterator[BookingsPage]:
        """Page by page; a booking that an earlier page gave is left out of later ones."""
        pager = Pager()
        while not pager.done:
            call = page_call(self._external_id, self._filters, pager.number)
            page = pager.take(await self._run(self._caller.call(call, PAGES)))
            if page is not None:
                yield page
