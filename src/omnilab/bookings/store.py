"""The only SQL of bookings and slots. Both rooms are opened for one tenant; no statement here works without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, and_, bindparam, delete, func, insert, or_, select, tuple_, update

from omnilab.bookings.model.booking import CANCELLED, NO_FILTERS, Booking, ListFilters, ListQuery, Slot
from omnilab.bookings.tables import bookings, slots
from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Row, Statement

_b, _s = bookings.c, slots.c
_BOOKING = tuple(_b[name] for name in Booking._fields)
_SLOT = tuple(_s[name] for name in Slot._fields)
_OF_CONTACT = and_(_b.tenant_id == bindparam("tenant"), _b.external_id == bindparam("contact"))
_OF_SLOT = and_(_s.tenant_id == bindparam("tenant"), _s.slot_id == bindparam("slot"))
# Callers may ask for up to this many statuses; a fixed number of places makes one statement serve any choice.
_STATUS_PLACES = 4
PAGE_ROWS = 1000
# Databases count in 63 bits, callers as far as they like: a page beyond all pages is empty.
_FURTHEST_ROW = 2**62

Shape = tuple[bool, bool, bool, bool, bool]
_UNFILTERED: Shape = (False, False, False, False, False)
_NO_ARGS: list[Any] = []


def _conditions(shape: Shape) -> tuple[Any, list[str]]:
    """The WHERE clause for the filters in use, and the names of their parameters in call order."""
    interaction, booking, status, after, before = shape
    clauses, names = [_OF_CONTACT], ["tenant", "contact"]
    if interaction:
        clauses.append(_b.interaction_id == bindparam("interaction"))
        names.append("interaction")
    if booking:
        clauses.append(_b.booking_id == bindparam("booking"))
        names.append("booking")
    if status:
        places = [f"status_{place}" for place in range(_STATUS_PLACES)]
        clauses.append(or_(*(_b.booking_status == bindparam(place) for place in places)))
        names += places
    if after:
        clauses.append(_b.slot_start_at > bindparam("after"))
        names.append("after")
    if before:
        clauses.append(_b.slot_start_at < bindparam("before"))
        names.append("before")
    return and_(*clauses), names


@lru_cache(maxsize=32)
def list_statement(shape: Shape) -> Statement:
    """A page of a contact's bookings under these filters: a range of the primary key, read in its own order."""
    where, names = _conditions(shape)
    page = (
        select(*_BOOKING)
        .where(where)
        .order_by(_b.slot_start_at, _b.booking_id)
        .limit(bindparam("page_rows", type_=BigInteger))
        .offset(bindparam("page_start", type_=BigInteger))
    )
    return Statement(page, *names, "page_rows", "page_start")


@lru_cache(maxsize=32)
def count_statement(shape: Shape) -> Statement:
    """How many bookings of a contact these filters leave."""
    where, names = _conditions(shape)
    return Statement(select(func.count()).select_from(bookings).where(where), *names)


_LIST_ALL = list_statement(_UNFILTERED)

_FIND = Statement(
    select(*_BOOKING).where(_b.tenant_id == bindparam("tenant"), _b.booking_id == bindparam("booking")),
    "tenant",
    "booking",
)
_HAS = Statement(
    select(_b.tenant_id).where(_b.tenant_id == bindparam("tenant"), _b.booking_id == bindparam("booking")),
    "tenant",
    "booking",
)
# Conditional: where two writers saw the same booking, one of them changes it and the other no row.
_CANCEL = Statement(
    update(bookings)
    .where(
        _OF_CONTACT,
        _b.slot_start_at == bindparam("start"),
        _b.booking_id == bindparam("booking"),
        _b.booking_status == bindparam("seen"),
    )
    .values(booking_status=CANCELLED, cancelled_at=bindparam("at"), cancel_reason=bindparam("reason")),
    *("at", "reason", "tenant", "contact", "start", "booking", "seen"),
)
_LIST_CONTACT = Statement(select(*_BOOKING).where(_OF_CONTACT), "tenant", "contact")
_ERASE_CONTACT = Statement(delete(bookings).where(_OF_CONTACT), "tenant", "contact")
_LIST_TENANT = Statement(
    select(*_BOOKING)
    .where(
        _b.tenant_id == bindparam("tenant"),
        tuple_(bindparam("after_contact"), bindparam("after_start", type_=BigInteger), bindparam("after_booking"))
        < tuple_(_b.external_id, _b.slot_start_at, _b.booking_id),
    )
    .order_by(_b.external_id, _b.slot_start_at, _b.booking_id)
    .limit(PAGE_ROWS),
    *("tenant", "after_contact", "after_start", "after_booking"),
)
_FREE_PLACES = Statement(
    update(slots).where(_OF_SLOT).values(places_taken=_s.places_taken - bindparam("places", type_=BigInteger)),
    *("places", "tenant", "slot"),
)
_FIND_SLOT = Statement(select(*_SLOT).where(_OF_SLOT), "tenant", "slot")
_FREE_PLACE = Statement(update(slots).where(_OF_SLOT).values(places_taken=_s.places_taken - 1), "tenant", "slot")
_TAKE_PLACES = Statement(
    update(slots)
    .where(_OF_SLOT, or_(_s.capacity.is_(None), _s.places_taken + bindparam("more", type_=BigInteger) <= _s.capacity))
    .values(places_taken=_s.places_taken + bindparam("places", type_=BigInteger)),
    *("places", "tenant", "slot", "more"),
)
_ADD_BOOKING = Statement(insert(bookings), *(column.name for column in bookings.columns))
_ADD_SLOT = Statement(insert(slots), *(column.name for column in slots.columns))


def _filter_args(filters: ListFilters) -> tuple[Shape, list[Any]]:
    args: list[Any] = [filters.interaction_id, filters.booking_id]
    args = [value for value in args if value is not None]
    if filters.statuses:
        args += (filters.statuses * _STATUS_PLACES)[:_STATUS_PLACES]
    args += [value for value in (filters.starts_after, filters.starts_before) if value is not None]
    shape = (
        filters.interaction_id is not None,
        filters.booking_id is not None,
        bool(filters.statuses),
        filters.starts_after is not None,
        filters.starts_before is not None,
    )
    return shape, args


class BookingReader:
    """What can be read of one tenant's bookings, inside a transaction or outside."""

    __slots__ = ("_reader", "_tenant_id")

    def __init__(self, reader: Reader, tenant_id: str) -> None:
        self._reader = reader
        self._tenant_id = tenant_id

    async def list_page(self, query: ListQuery) -> tuple[list[Row], int]:
        """The rows of one page, in the order of `Booking`'s fields, and how many there are on all pages."""
        start = min((query.page_number - 1) * query.page_size, _FURTHEST_ROW)
        if query.filters is NO_FILTERS:  # nearly always
            shape, statement, args = _UNFILTERED, _LIST_ALL, _NO_ARGS
        else:
            shape, args = _filter_args(query.filters)
            statement = list_statement(shape)
        # One row more than the page holds shows whether this is the end: counting would be a second query for nothing.
        wanted = query.page_size + 1
        rows = await self._reader.fetch(statement, self._tenant_id, query.external_id, *args, wanted, start)
        if len(rows) < wanted and (rows or start == 0):
            return rows, start + len(rows)
        del rows[query.page_size :]
        counted = await self._reader.fetch_one(count_statement(shape), self._tenant_id, query.external_id, *args)
        return rows, 0 if counted is None else int(counted[0])

    async def list_contact(self, external_id: str) -> list[Booking]:
        """All bookings of one contact."""
        return [Booking(*row) for row in await self._reader.fetch(_LIST_CONTACT, self._tenant_id, external_id)]

    async def pages(self) -> AsyncIterator[list[Booking]]:
        """All bookings of the tenant, contact by contact."""
        after: tuple[str, int, str] = ("", 0, "")
        while rows := await self._reader.fetch(_LIST_TENANT, self._tenant_id, *after):
            found = [Booking(*row) for row in rows]
            yield found
            after = (found[-1].external_id, found[-1].slot_start_at, found[-1].booking_id)

    async def find(self, booking_id: str) -> Booking | None:
        """The booking with this id, whichever contact's."""
        row = await self._reader.fetch_one(_FIND, self._tenant_id, booking_id)
        return None if row is None else Booking(*row)

    async def has(self, booking_id: str) -> bool:
        return await self._reader.fetch_one(_HAS, self._tenant_id, booking_id) is not None

    async def find_slot(self, slot_id: str) -> Slot | None:
        row = await self._reader.fetch_one(_FIND_SLOT, self._tenant_id, slot_id)
        return None if row is None else Slot(*row)


class BookingWriter(BookingReader):
    """One tenant's bookings inside one transaction."""

    __slots__ = ("_tx",)

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        super().__init__(tx, tenant_id)
        self._tx = tx

    async def cancel(self, seen: Booking, *, at_ms: int, reason: str | None) -> bool:
        """Cancel the booking unless its status has changed since it was seen; says whether it was this call."""
        place = (self._tenant_id, seen.external_id, seen.slot_start_at, seen.booking_id)
        return await self._tx.execute(_CANCEL, at_ms, reason, *place, seen.booking_status) == 1

    async def free_place(self, slot_id: str) -> None:
        await self._tx.execute(_FREE_PLACE, self._tenant_id, slot_id)

    async def free_places(self, slot_id: str, places: int) -> None:
        await self._tx.execute(_FREE_PLACES, places, self._tenant_id, slot_id)

    async def erase_contact(self, external_id: str) -> None:
        """Remove a contact's bookings; their places are freed apart."""
        await self._tx.execute(_ERASE_CONTACT, self._tenant_id, external_id)

    async def take_places(self, slot_id: str, places: int) -> bool:
        """Take so many places at once, or none and False when they are not all free."""
        return await self._tx.execute(_TAKE_PLACES, places, self._tenant_id, slot_id, places) == 1

    async def add_slot(self, slot: Slot) -> None:
        """Raises DuplicateRowError when another writer was first."""
        await self._tx.execute(_ADD_SLOT, *self._slot_row(slot))

    async def add(self, booking: Booking) -> None:
        """Raises DuplicateRowError when its id is taken."""
        await self._tx.execute(_ADD_BOOKING, *self._booking_row(booking))

    async def add_many(self, new_slots: list[Slot], new_bookings: list[Booking]) -> None:
        """Add slots, then bookings, in as few statements as can be. Raises DuplicateRowError."""
        await self._tx.insert_rows(slots, [self._slot_row(slot) for slot in new_slots])
        await self._tx.insert_rows(bookings, [self._booking_row(booking) for booking in new_bookings])

    def _slot_row(self, slot: Slot) -> Row:
        return (self._tenant_id, *slot)

    def _booking_row(self, booking: Booking) -> Row:
        """In the table's column order; a new booking has no reason of a cancel."""
        b = booking
        return (
            self._tenant_id, b.external_id, b.slot_start_at, b.booking_id, b.booking_status, b.interaction_id,
            b.event_id, b.event_title, b.event_location, b.slot_id, b.slot_end_at, b.ticket_type, b.created_at,
            b.cancelled_at, b.checked_in_at, None,
        )  # fmt: skip
