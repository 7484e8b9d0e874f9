"""Importing bookings: batch after batch, each in one transaction with its audit record.

Promises that a booking that is there already is never changed, that no slot gets more bookings than it has places,
and that memory does not grow with the file. What cannot be imported is handed to `reject` with its line and reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from omnilab.audit.model import Actor, AuditRecord
from omnilab.audit.service import AuditService
from omnilab.bookings.model.booking import HOLDING, Booking, Slot, slot_difference
from omnilab.bookings.model.imports import ImportedBooking, RowRefusedError, read_row
from omnilab.bookings.service.import_files import FileRow
from omnilab.bookings.store import BookingWriter
from omnilab.clock import Clock
from omnilab.errors import UnavailableError
from omnilab.storage.database import Database, DuplicateRowError, Transaction

ENDPOINT = "bookings:import"
# Large enough that the fsync of a batch weighs little, small enough that calls of the API wait for it a few ms only.
BATCH_ROWS = 500
_ATTEMPTS = 3


class Rejected(NamedTuple):
    """A row that was not imported."""

    line: int
    reason: str
    row: dict[str, Any] | str


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """Where to: the tenant, and who does it. `source` names the file in the audit record."""

    tenant_id: str
    tenant: str
    actor: Actor
    source: str


@dataclass(slots=True)
class ImportResult:
    """How many rows were imported, were there already, and were rejected."""

    imported: int = 0
    skipped: int = 0
    rejected: int = 0

    def add(self, batch: _Batch) -> None:
        self.imported += len(batch.bookings)
        self.skipped += batch.skipped
        self.rejected += len(batch.rejected)


@dataclass(slots=True)
class _SlotInBatch:
    """A slot as it stands after the batch's rows so far."""

    slot: Slot
    is_new: bool
    more: int = 0


@dataclass(slots=True)
class _Batch:
    """What a batch does: filled in its transaction, thrown away whole when that has to be tried again."""

    bookings: list[Booking] = field(default_factory=list)
    slots: dict[str, _SlotInBatch] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    skipped: int = 0
    rejected: list[Rejected] = field(default_factory=list)


class BookingImporter:
    """Imports rows into one tenant at a time."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService, ids: Callable[[], str]) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._ids = ids

    async def run(
        self, target: ImportTarget, rows: Iterable[FileRow], *, reject: Callable[[Rejected], None]
    ) -> ImportResult:
        """Import all rows. Raises UnavailableError; the batches before it stay imported."""
        result = ImportResult()
        rows = iter(rows)
        while part := list(islice(rows, BATCH_ROWS)):
            batch = await self._import(target, part)
            for rejected in batch.rejected:
                reject(rejected)
            result.add(batch)
        return result

    async def _import(self, target: ImportTarget, part: list[FileRow]) -> _Batch:
        read, refused = _read(part, self._clock.now_ms())

        async def unit(tx: Transaction) -> _Batch:
            batch = _Batch()
            await _import_rows(BookingWriter(tx, target.tenant_id), batch, read)
            batch.rejected = sorted(batch.rejected + refused, key=lambda rejected: rejected.line)
            self._audit.record_in(tx, self._record(target, part, batch))
            return batch

        for _ in range(_ATTEMPTS):
            try:
                return await self._db.write(unit)
            except DuplicateRowError:
                continue  # a writer on another machine was first: begin the batch again with what is there now
        raise UnavailableError("an import met other writers' rows again and again")

    def _record(self, target: ImportTarget, part: list[FileRow], batch: _Batch) -> AuditRecord:
        return AuditRecord(
            request_id=self._ids(),
            occurred_at=self._clock.now_ms(),
            tenant_id=target.tenant_id,
            endpoint=ENDPOINT,
            outcome="granted",
            tenant=target.tenant,
            actor=target.actor,
            details={
                "file": target.source,
                "first_line": part[0].line,
                "last_line": part[-1].line,
                "imported": len(batch.bookings),
                "skipped": batch.skipped,
                "rejected": len(batch.rejected),
            },
        )


def _read(part: list[FileRow], now_ms: int) -> tuple[list[tuple[FileRow, ImportedBooking]], list[Rejected]]:
    """What each row of the file says, apart from those that say nothing that can be used."""
    read, refused = [], []
    for row in part:
        if row.problem or isinstance(row.values, str):
            refused.append(Rejected(row.line, row.problem or "it cannot be read", row.values))
            continue
        try:
            read.append((row, read_row(row.values, now_ms)))
        except RowRefusedError as error:
            refused.append(Rejected(row.line, str(error), row.values))
    return read, refused


async def _import_rows(store: BookingWriter, batch: _Batch, read: list[tuple[FileRow, ImportedBooking]]) -> None:
    for row, (booking, slot) in read:
        if booking.booking_id in batch.seen or await store.has(booking.booking_id):
            batch.skipped += 1
            continue
        in_batch = batch.slots.get(slot.slot_id)
        if in_batch is None:
            known = await store.find_slot(slot.slot_id)
            in_batch = _SlotInBatch(known or slot, is_new=known is None)
        problem = _refusal(in_batch, booking, slot)
        if problem is not None:
            batch.rejected.append(Rejected(row.line, problem, row.values))
            continue
        batch.slots[slot.slot_id] = in_batch
        in_batch.more += booking.booking_status in HOLDING
        batch.seen.add(booking.booking_id)
        batch.bookings.append(booking)
    await _write(store, batch)


def _refusal(in_batch: _SlotInBatch, booking: Booking, slot: Slot) -> str | None:
    known = in_batch.slot
    if difference := slot_difference(known, slot):
        return f"slot_mismatch: this slot_id is already in use with another {difference}"
    if booking.booking_status not in HOLDING or known.capacity is None:
        return None
    if known.places_taken + in_batch.more >= known.capacity:
        return f"slot_full: all {known.capacity} places of the slot are taken"
    return None


async def _write(store: BookingWriter, batch: _Batch) -> None:
    new = [each.slot._replace(places_taken=each.more) for each in batch.slots.values() if each.is_new]
    # In the order of the key: neighbouring rows share a page of the B-tree.
    await store.add_many(sorted(new), sorted(batch.bookings, key=_key))
    for slot_id, each in sorted(batch.slots.items()):
        if each.is_new or not each.more:
            continue
        if not await store.take_places(slot_id, each.more):
            raise DuplicateRowError("another writer took the places of a slot")


def _key(booking: Booking) -> tuple[str, int, str]:
    return booking.external_id, booking.slot_start_at, booking.booking_id
