"""Many made-up bookings at once, for tests and benchmarks on an empty installation: no look-up, one record a tenant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omnilab.audit.model import AuditRecord
from omnilab.audit.service import AuditService
from omnilab.bookings.model.booking import Booking, Slot
from omnilab.bookings.service.importing import ImportTarget
from omnilab.bookings.store import BookingWriter
from omnilab.clock import Clock
from omnilab.errors import ProvisioningError
from omnilab.storage.database import Database, DuplicateRowError, Transaction

ENDPOINT = "bookings:seed"


@dataclass(frozen=True, slots=True)
class SeedPart:
    """Bookings of one tenant with the slots that none of its earlier parts brought; the slots' places are counted."""

    target: ImportTarget
    slots: Sequence[Slot]
    bookings: Sequence[Booking]


class BookingSeeder:
    """Writes parts as they come; rows should come in the order of the tables' keys, neighbours share a page."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService, ids: Callable[[], str]) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._ids = ids

    async def add(self, parts: Sequence[SeedPart]) -> None:
        """Write all parts in one transaction. Raises ProvisioningError `bookings_exist` for a row that is there."""

        async def unit(tx: Transaction) -> None:
            for part in parts:
                await BookingWriter(tx, part.target.tenant_id).add_many(list(part.slots), list(part.bookings))
                self._audit.record_in(tx, self._record(part))

        try:
            await self._db.write(unit)
        except DuplicateRowError:
            raise ProvisioningError("bookings_exist", "These tenants have seeded bookings already.") from None

    def _record(self, part: SeedPart) -> AuditRecord:
        return AuditRecord(
            request_id=self._ids(),
            occurred_at=self._clock.now_ms(),
            tenant_id=part.target.tenant_id,
            endpoint=ENDPOINT,
            outcome="granted",
            tenant=part.target.tenant,
            actor=part.target.actor,
            details={"count": len(part.bookings)},
        )
