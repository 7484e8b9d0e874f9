"""List, cancel and create: the one place that knows in which order their steps come.

A write is one unit of one transaction: the kept answer of an earlier call, the change, the place it takes or frees,
the answer to keep and the audit record. So none of them is ever there without the others, and a conditional update
makes sure that of any number of concurrent cancels exactly one finds the booking as it was. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from omnilab.audit.model import AuditRecord, RecordTemplate
from omnilab.audit.service import AuditService
from omnilab.bookings.model import booking as rules
from omnilab.bookings.model.booking import CANCELLED, CONFIRMED, Booking, ListQuery, Slot
from omnilab.bookings.store import BookingReader, BookingWriter
from omnilab.clock import Clock
from omnilab.crypto.keyed_digest import keyed_digest
from omnilab.crypto.random import new_id
from omnilab.storage.database import Database, Reader, Transaction
from omnilab.storage.idempotency import Answer, IdempotencyStore, RepeatableCall, Write, repeatable_call
from omnilab.storage.statement import Row

LIST, CANCEL, CREATE = "bookings:read", "bookings:cancel", "bookings:create"

# 128 bits tell contacts apart; the record need not carry more.
_CONTACT_DIGITS = 32

Details = dict[str, str | int]
#: Makes the body of a write's answer from the booking as it now stands.
Encoder = Callable[[Booking], bytes]


class CallOrigin(NamedTuple):
    """Who calls, from where and under which request id. `contact_key` is the tenant's key for HMACs."""

    request_id: str
    caller_request_id: str | None
    tenant_id: str
    tenant: str
    client_id: str
    secret_id: str
    address: str
    contact_key: bytes


class Repeat(NamedTuple):
    """An `Idempotency-Key` and the parsed body it came with."""

    key: str
    body: object


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel this booking of this contact."""

    external_id: str
    booking_id: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """Book a place in this slot for this contact. `any_capacity`: the request left the slot's capacity open."""

    external_id: str
    slot: Slot
    any_capacity: bool
    booking_id: str | None = None
    event_title: str | None = None
    event_location: str | None = None
    ticket_type: str | None = None


class BookingService:
    """The calls of the Booking API."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService, idempotency: IdempotencyStore) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._idempotency = idempotency
        #: Where the API's lists are read from: the database itself, or a replica that is as fresh.
        self.lists: Reader = db

    async def list_bookings(self, tenant_id: str, query: ListQuery) -> tuple[list[Row], int]:
        """One page of a contact's bookings as rows in the order of `Booking`, and the number on all pages.

        Raises UnavailableError.
        """
        return await BookingReader(self._db, tenant_id).list_page(query)

    def pages(self, tenant_id: str) -> AsyncIterator[list[Booking]]:
        """All bookings of one tenant."""
        return BookingReader(self._db, tenant_id).pages()

    async def fetch(self, origin: CallOrigin, query: ListQuery) -> tuple[list[Row], int]:
        """`list_bookings` for a caller of the API; its record follows within a second."""
        found = await BookingReader(self.lists, origin.tenant_id).list_page(query)
        contact = _contact(origin, query.external_id)
        if origin.caller_request_id is None:
            record = _list_record(*origin[2:7]).fill(origin.request_id, self._clock.now_ms(), contact)
            self._audit.record_encoded_later(origin.tenant_id, origin.request_id, record)
        else:  # a value of the caller's own, which has to be masked
            self._audit.record_later(self._granted(origin, LIST, {"contact": contact}))
        return found

    async def cancel(
        self, origin: CallOrigin, order: CancelOrder, *, encode: Encoder, repeat: Repeat | None = None
    ) -> Answer:
        """Cancel a booking and free its place; returns the answer once it is durable.

        Raises ConflictError (booking_not_found, booking_already_cancelled, booking_checked_in, idempotency_…) and
        UnavailableError; then nothing was done.
        """
        details: Details = {"contact": _contact(origin, order.external_id), "booking_id": order.booking_id}

        async def write(tx: Transaction) -> Answer:
            booking = await cancel_in(BookingWriter(tx, origin.tenant_id), order, self._clock.now_ms())
            self._audit.record_in(tx, self._granted(origin, CANCEL, details))
            return Answer(200, encode(booking))

        return await self._write(origin, CANCEL, write, details=details, repeat=repeat)

    async def create(
        self, origin: CallOrigin, order: CreateOrder, *, encode: Encoder, repeat: Repeat | None = None
    ) -> Answer:
        """Book a place; returns the answer once it is durable.

        Raises ConflictError (slot_full, slot_mismatch, booking_exists, idempotency_…) and UnavailableError; then
        nothing was done.
        """
        booking = _new_booking(order, order.booking_id or new_id("bkg_"), self._clock.now_ms())
        details: Details = {"contact": _contact(origin, order.external_id), "booking_id": booking.booking_id}

        async def write(tx: Transaction) -> Answer:
            await _create(BookingWriter(tx, origin.tenant_id), booking, order)
            self._audit.record_in(tx, self._granted(origin, CREATE, details))
            return Answer(201, encode(booking))

        return await self._write(origin, CREATE, write, details=details, repeat=repeat)

    async def _write(
        self,
        origin: CallOrigin,
        endpoint: str,
        write: Write,
        *,
        details: Details,
        repeat: Repeat | None,
    ) -> Answer:
        async def replayed(tx: Transaction) -> None:
            self._audit.record_in(tx, self._granted(origin, endpoint, {**details, "replayed": 1}))

        call = None if repeat is None else _repeatable(origin, endpoint, repeat)
        return await self._idempotency.write(call, write, on_replay=replayed)

    def _granted(self, origin: CallOrigin, endpoint: str, details: Details) -> AuditRecord:
        return AuditRecord(
            request_id=origin.request_id,
            occurred_at=self._clock.now_ms(),
            tenant_id=origin.tenant_id,
            endpoint=endpoint,
            outcome="granted",
            tenant=origin.tenant,
            client_id=origin.client_id,
            secret_id=origin.secret_id,
            address=origin.address,
            details=details,
            caller_request_id=origin.caller_request_id,
        )


# About 1 kB each, for the clients that list at the moment.
@lru_cache(maxsize=2_048)
def _list_record(tenant_id: str, tenant: str, client_id: str, secret_id: str, address: str) -> RecordTemplate:
    """The record of a list by this caller, but for the request and the contact."""
    record = AuditRecord(
        request_id="",
        occurred_at=0,
        tenant_id=tenant_id,
        endpoint=LIST,
        outcome="granted",
        tenant=tenant,
        client_id=client_id,
        secret_id=secret_id,
        address=address,
        details={"contact": ""},
    )
    return RecordTemplate(record, "contact")


async def cancel_in(store: BookingWriter, order: CancelOrder, now_ms: int) -> Booking:
    """The cancel itself, inside one transaction; the booking as it then stands. Raises ConflictError."""
    while True:
        seen = await store.find(order.booking_id)
        if seen is None or seen.external_id != order.external_id:
            raise rules.not_found()
        rules.verify_cancellable(seen)
        if await store.cancel(seen, at_ms=now_ms, reason=order.reason):
            break
        # Another writer changed it since it was seen (a server database only): look again.
    if seen.booking_status in rules.HOLDING:
        await store.free_place(seen.slot_id)
    return seen._replace(booking_status=CANCELLED, cancelled_at=now_ms)


async def _create(store: BookingWriter, booking: Booking, order: CreateOrder) -> None:
    if await store.has(booking.booking_id):
        raise rules.booking_exists()
    known = await store.find_slot(order.slot.slot_id)
    if known is None:
        await store.add_slot(order.slot)
    elif difference := rules.slot_difference(known, order.slot, any_capacity=order.any_capacity):
        raise rules.slot_mismatch(difference)
    if not await store.take_places(order.slot.slot_id, 1):
        raise rules.slot_full()
    await store.add(booking)


def _new_booking(order: CreateOrder, booking_id: str, now_ms: int) -> Booking:
    slot = order.slot
    return Booking(
        booking_id=booking_id,
        booking_status=CONFIRMED,
        external_id=order.external_id,
        interaction_id=slot.interaction_id,
        event_id=slot.event_id,
        event_title=order.event_title,
        event_location=order.event_location,
        slot_id=slot.slot_id,
        slot_start_at=slot.slot_start_at,
        slot_end_at=slot.slot_end_at,
        ticket_type=order.ticket_type,
        created_at=now_ms,
        cancelled_at=None,
        checked_in_at=None,
    )


def _repeatable(origin: CallOrigin, endpoint: str, repeat: Repeat) -> RepeatableCall:
    owner = (origin.tenant_id, origin.client_id)
    return repeatable_call(origin.contact_key, owner, call=endpoint, key=repeat.key, body=repeat.body)


def _contact(origin: CallOrigin, external_id: str) -> str:
    """Who the contact is, for those alone who have the tenant's key and the external_id to compare."""
    return contact_mark(origin.contact_key, external_id)


def contact_mark(contact_key: bytes, external_id: str) -> str:
    """The same from the tenant's key itself."""
    return keyed_digest(contact_key, external_id.encode()).hex()[:_CONTACT_DIGITS]
