"""The client for threads: thin, for everything is decided in `calls.py`."""

from __future__ import annotations

from collections.abc import Iterator
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
from omnilab.client.settings import Options, Settings
from omnilab.client.token import AccessToken

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class Run(Protocol):
    """A door's way to run a flow."""

    def __call__(self, flow: Flow[T]) -> T: ...


class OmniLab:
    """A client for threads; make one and share it. See `Options` for what it takes.

    transport: an `httpx.BaseTransport` used instead of its own, for tests and special networks.
    Raises ConfigurationError, which names every setting that is missing.

    >>> from omnilab.client.testing import FakeOmniLab
    >>> fake = FakeOmniLab()
    >>> _ = fake.add_booking("contact-1", booking_id="bkg_1")
    >>> with OmniLab(environ=fake.environ, transport=fake.transport) as client:
    ...     for booking in client.bookings.list("contact-1", booking_status="CONFIRMED"):
    ...         print(client.bookings.cancel("contact-1", booking.booking_id).booking_status)
    CANCELLED
    """

    def __init__(self, *, transport: httpx.BaseTransport | None = None, **options: Unpack[Options]) -> None:
        self._settings, self._caller = assemble(options)
        # Loaded now, not with the package: httpx is most of what importing the SDK would cost. And not with the first
        # call: a process that forks while a thread is loading a module leaves its child waiting for that thread.
        from omnilab.client.threads import ThreadDoor  # noqa: PLC0415

        self._door = ThreadDoor(self._settings, transport)
        self.bookings = Bookings(self._caller, self._run)

    def whoami(self) -> WhoAmI:
        """Who the client is, which endpoints are enabled, what is left of the quotas. Needs no grant."""
        return self._run(self._caller.call(whoami_call(), WHOAMI))

    def access_token(self) -> AccessToken:
        """A token to call with: the one in use, or a new one. `reveal()` shows it."""
        return self._run(self._caller.token())

    @property
    def limits(self) -> list[Limit]:
        """What the last answer said is left of the quotas; empty where nothing is limited."""
        return self._caller.limits.told()

    def close(self) -> None:
        """Close the connections. The client can be used again."""
        self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return described(self, self._settings)

    def _run(self, flow: Flow[T]) -> T:
        return self._door.run(flow)


class Bookings:
    """`client.bookings`."""

    def __init__(self, caller: Caller, run: Run) -> None:
        self._caller = caller
        self._run = run

    def list(self, external_id: str, **filters: Unpack[Filters]) -> Listing:
        """A contact's bookings, by slot start and then id. Pages are fetched as they are needed.

        An unknown contact has none. Safe to cancel while it is read: no booking is left out or given twice.
        """
        return Listing(self._caller, self._run, external_id, filters)

    def cancel(
        self,
        external_id: str,
        booking_id: str,
        *,
        reason: str | None = None,
        idempotency_key: str | Literal[False] | None = None,
    ) -> Booking:
        """Cancel one booking; returns it as it is now.

        It is sent with an idempotency key, so that it is safe to repeat after a lost answer, and is repeated by the
        SDK for as long as there is time. Give a key of your own (kept with your own record, say) to be able to repeat
        it yourself, for 24 hours: an error carries the key it was sent with. `idempotency_key=False` sends none, and
        then the call is made once.

        Raises BookingNotFoundError, BookingAlreadyCancelledError, BookingCheckedInError, or another OmniLabError.
        """
        call = cancel_call(external_id, booking_id, reason=reason, idempotency_key=idempotency_key)
        return self._run(self._caller.call(call, BOOKINGS))


class Listing:
    """A list that is fetched page by page. Iterate it for bookings, `pages()` for pages; each time it begins anew."""

    def __init__(self, caller: Caller, run: Run, external_id: str, filters: Filters) -> None:
        self._caller = caller
        self._run = run
        self._external_id = external_id
        self._filters = filters

    def __iter__(self) -> Iterator[Booking]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[BookingsPage]:
        """Page by page; a booking that an earlier page gave is left out of later ones."""
        pager = Pager()
        while not pager.done:
            call = page_call(self._external_id, self._filters, pager.number)
            page = pager.take(self._run(self._caller.call(call, PAGES)))
            if page is not None:
                yield page


def described(client: object, settings: Settings) -> str:
    """A client's `repr`: nothing secret."""
    return f"<{type(client).__name__} {settings.client_id} at {settings.base_url}>"
