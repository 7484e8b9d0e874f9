"""The Booking API's services over a database of their own, for tests that need no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnilab.audit.service import AuditService
from omnilab.bookings.model.booking import Booking, ListFilters, ListQuery, Slot
from omnilab.bookings.routes.answers import encode_booking
from omnilab.bookings.service import (
    BookingImporter,
    BookingService,
    CallOrigin,
    CancelOrder,
    CreateOrder,
    Repeat,
)
from omnilab.bookings.store import BookingReader
from omnilab.crypto.random import RequestIds
from omnilab.errors import OmniLabError
from omnilab.storage.idempotency import Answer, IdempotencyStore
from tests.harness.databases import database_at, made_at

NOW_MS = 1_800_000_000_000
START_MS = 1_801_000_000_000
HOUR_MS = 3_600_000
ACME, OTHER = "ten_acme", "ten_other"


class HandClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_ms = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic(self) -> float:
        return self.at_ms / 1000


@dataclass
class Rig:
    """Everything a test of the services needs; `path` is the database's file."""

    path: Path
    clock: HandClock = field(default_factory=HandClock)

    def __post_init__(self) -> None:
        self.db = database_at(self.path)
        self.ids = RequestIds(self.clock)
        self.audit = AuditService(self.db, self.clock, self.ids, b"k" * 32)
        self.idempotency = IdempotencyStore(self.db, self.clock)
        self.bookings = BookingService(self.db, self.clock, self.audit, self.idempotency)
        self.importer = BookingImporter(self.db, self.clock, self.audit, self.ids)

    def origin(self, tenant_id: str = ACME, client_id: str = "cli_1") -> CallOrigin:
        key = tenant_id.encode().ljust(32, b"-")
        return CallOrigin(self.ids(), None, tenant_id, tenant_id[4:], client_id, "sec_1", "192.0.2.1", key)

    async def create(
        self, booking_id: str | None = None, *, tenant_id: str = ACME, repeat: Repeat | None = None, **other: Any
    ) -> Answer:
        order = create_order(booking_id, **other)
        return await self.bookings.create(self.origin(tenant_id), order, encode=encode_booking, repeat=repeat)

    async def cancel(
        self,
        booking_id: str,
        *,
        contact: str = "contact-1",
        origin: CallOrigin | None = None,
        repeat: Repeat | None = None,
    ) -> Answer:
        order = CancelOrder(contact, booking_id, "changed plans")
        return await self.bookings.cancel(origin or self.origin(), order, encode=encode_booking, repeat=repeat)

    async def list_ids(
        self, contact: str = "contact-1", *, tenant_id: str = ACME, size: int = 50, page: int = 1, **filters: Any
    ) -> tuple[list[str], int]:
        query = ListQuery(contact, size, page, ListFilters(**filters))
        rows, total = await self.bookings.list_bookings(tenant_id, query)
        return [row[0] for row in rows], total

    async def booking(self, booking_id: str, tenant_id: str = ACME) -> Booking:
        found = await BookingReader(self.db, tenant_id).find(booking_id)
        assert found is not None
        return found

    async def places(self, slot_id: str = "slot-1", tenant_id: str = ACME) -> int:
        found = await BookingReader(self.db, tenant_id).find_slot(slot_id)
        assert found is not None
        return found.places_taken


def create_order(
    booking_id: str | None = None,
    *,
    contact: str = "contact-1",
    slot_id: str = "slot-1",
    start_ms: int = START_MS,
    capacity: int | None = None,
    any_capacity: bool = False,
    **other: Any,
) -> CreateOrder:
    interaction, event = other.pop("interaction_id", "spring"), other.pop("event_id", "event-1")
    slot = Slot(slot_id, interaction, event, start_ms, start_ms + HOUR_MS, capacity, 0)
    return CreateOrder(contact, slot, any_capacity=any_capacity, booking_id=booking_id, **other)


def new_database(folder: Path) -> Path:
    path = folder / "omnilab.db"
    made_at(path)
    return path


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Rig]:
    rig = Rig(path)
    await rig.db.start()
    try:
        yield rig
    finally:
        await rig.audit.close()
        await rig.db.close()


def with_rig(folder: Path, action: Callable[[Rig], Awaitable[None]]) -> None:
    """Run a test's body with the services open."""

    async def run() -> None:
        async with opened(new_database(folder)) as rig:
            await action(rig)

    asyncio.run(run())


async def outcome(awaitable: Awaitable[Answer]) -> int | str:
    """The status of an answer, or the code of the refusal."""
    try:
        return (await awaitable).status
    except OmniLabError as error:
        return error.code
