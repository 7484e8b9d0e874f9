"""Cancelling once more what had been cancelled: after a restore the booking stands as it did before."""

from __future__ import annotations

from omnilab.audit.model import AuditRecord
from omnilab.audit.service import AuditService
from omnilab.bookings.model import booking as rules
from omnilab.bookings.service.calls import CancelOrder, cancel_in
from omnilab.bookings.store import BookingWriter
from omnilab.storage.database import Database, Transaction


async def cancel_again(db: Database, audit: AuditService, done: AuditRecord, *, record: AuditRecord) -> None:
    """Cancel what the audit record `done` says was cancelled, at the time it was; `record` tells of this.

    Raises ConflictError where the booking is not there or cannot be cancelled any more, and UnavailableError.
    """
    booking_id = str(done.details["booking_id"])

    async def unit(tx: Transaction) -> None:
        writer = BookingWriter(tx, done.tenant_id)
        seen = await writer.find(booking_id)
        if seen is None:
            raise rules.not_found()
        await cancel_in(writer, CancelOrder(seen.external_id, booking_id), done.occurred_at)
        audit.record_in(tx, record)

    await db.write(unit)
