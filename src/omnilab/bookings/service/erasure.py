"""Erasing one contact: nothing that names the person is left.

Promises that bookings, the answers kept for repeated calls and the places they held go in one transaction. The audit
never had more of a contact than an HMAC; it stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from omnilab.audit.model import Actor, AuditRecord
from omnilab.audit.service import AuditService
from omnilab.bookings.model.booking import HOLDING
from omnilab.bookings.service.calls import contact_mark
from omnilab.bookings.store import BookingReader, BookingWriter
from omnilab.clock import Clock
from omnilab.storage.database import Database, Transaction
from omnilab.storage.idempotency import forget_answers


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureOrder:
    """Whose contact; `contact_key` is the tenant's key for HMACs."""

    tenant_id: str
    tenant: str
    contact_key: bytes
    external_id: str


class ContactErasure:
    """The verb of personal data."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService, ids: Callable[[], str]) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._ids = ids

    async def find_marked(self, tenant_id: str, contact_key: bytes, mark: str) -> list[str]:
        """The contacts of a tenant whose mark in the audit is this one: one, or none. Reads all of its bookings."""
        found: set[str] = set()
        async for page in BookingReader(self._db, tenant_id).pages():
            names = {booking.external_id for booking in page}
            found |= {name for name in names if contact_mark(contact_key, name) == mark}
        return sorted(found)

    async def erase(self, order: ErasureOrder, *, actor: Actor) -> dict[str, str | int]:
        """Remove all that is kept of a contact; also one nobody knows leaves a record. Raises UnavailableError."""
        request_id, now_ms = self._ids(), self._clock.now_ms()

        async def unit(tx: Transaction) -> dict[str, str | int]:
            writer = BookingWriter(tx, order.tenant_id)
            rows = await writer.list_contact(order.external_id)
            for slot_id, places in Counter(row.slot_id for row in rows if row.booking_status in HOLDING).items():
                await writer.free_places(slot_id, places)
            await writer.erase_contact(order.external_id)
            answers = await forget_answers(tx, order.tenant_id, lambda answer: _names(answer, order.external_id))
            mark = contact_mark(order.contact_key, order.external_id)
            erased: dict[str, str | int] = {"contact": mark, "bookings": len(rows), "answers": answers}
            record = AuditRecord(
                request_id=request_id,
                occurred_at=now_ms,
                tenant_id=order.tenant_id,
                endpoint="contacts:erase",
                outcome="granted",
                tenant=order.tenant,
                details=erased,
                actor=actor,
            )
            self._audit.record_in(tx, record)
            return erased

        return await self._db.write(unit) | {"request_id": request_id}


def _names(answer: bytes, external_id: str) -> bool:
    try:
        document = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return False
    return isinstance(document, dict) and document.get("external_id") == external_id
