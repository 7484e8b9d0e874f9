"""The verbs of the audit: record a decision, find it again, explain refusals, prove that nothing was tampered with.

Promises that a record handed to `record` or `record_in` is durable once the commit it waits for is, that one handed to
`record_later` is durable within a second or refused, and that what a record quotes is masked. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omnilab.audit.model.chain import ChainKey
from omnilab.audit.model.claims import CREDENTIAL_AS_CLIENT_ID, client_mark
from omnilab.audit.model.flood import Flood, flood_record
from omnilab.audit.model.record import Actor, AuditRecord, encode, rfc3339
from omnilab.audit.service.buffer import RecordBuffer
from omnilab.audit.service.checkpoints import INTERVAL_SECONDS, Checkpoints
from omnilab.audit.service.export import Exporter
from omnilab.audit.service.inquiry import Inquiry
from omnilab.audit.service.masking import masked
from omnilab.audit.service.retention import Retained, Retention
from omnilab.audit.service.verification import Verification, Verifier
from omnilab.audit.store.chains import Chains
from omnilab.audit.store.sink import AuditSink
from omnilab.clock import Clock
from omnilab.crypto.random import new_id
from omnilab.errors import UnavailableError
from omnilab.storage.database import Database, Transaction
from omnilab.storage.tables import PLATFORM_TENANT
from omnilab.telemetry.redaction import looks_like_credential


class AuditService(Inquiry):
    """The audit of one process. `start` before serving, `close` before the database is closed.

    chain_key: 32 bytes, the same for the whole installation.
    """

    def __init__(self, db: Database, clock: Clock, ids: Callable[[], str], chain_key: bytes) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._key = ChainKey(chain_key)
        super().__init__(db, self._key)
        self._sink = AuditSink(self._key, clock, lambda: new_id("chn_"))
        self._buffer = RecordBuffer(db, self._sink)
        self._checkpoints = Checkpoints(db, self._sink, clock, ids)

    async def start(self) -> None:
        """Begin to flush. Not needed by a command that runs once."""
        self._buffer.start()

    async def close(self) -> None:
        """Flush what waits and write a last checkpoint. Raises UnavailableError when that cannot be written.

        A process that recorded nothing writes nothing.
        """
        await self._buffer.close()
        if self._sink.chain_id is not None:
            await self._checkpoints.write()

    def record(self, record: AuditRecord) -> asyncio.Future[None]:
        """Record in the next group commit. Await the future before answering; it raises UnavailableError."""
        record = masked(record)
        return self._db.append(self._sink, (record.tenant_id, record.request_id, record.outcome, encode(record)))

    def record_encoded(self, tenant_id: str, request_id: str, body: bytes) -> asyncio.Future[None]:
        """As `record`, for a granted request whose `body` equals `model.encode` of its record and quotes nothing."""
        return self._db.append(self._sink, (tenant_id, request_id, "granted", body))

    def record_later(self, record: AuditRecord) -> None:
        """Record within a second. Raises UnavailableError when the buffer is full: then do not answer 200."""
        record = masked(record)
        self._buffer.add((record.tenant_id, record.request_id, record.outcome, encode(record)))

    def record_encoded_later(self, tenant_id: str, request_id: str, body: bytes) -> None:
        """As `record_later`, under the terms of `record_encoded`."""
        self._buffer.add((tenant_id, request_id, "granted", body))

    def record_in(self, tx: Transaction, record: AuditRecord) -> None:
        """Record in the transaction of the change itself."""
        record = masked(record)
        tx.append(self._sink, (record.tenant_id, record.request_id, record.outcome, encode(record)))

    def record_flood(self, flood: Flood) -> None:
        """One summary for failed authentications that were not recorded one by one; raises as `record_later` does."""
        marks = {self.client_mark(client_id): count for client_id, count in flood.client_ids.items()}
        self.record_later(flood_record(flood, marks, request_id=self._ids(), tenant_id=PLATFORM_TENANT))

    def client_mark(self, client_id: str) -> str:
        """What may be kept of a client id that was claimed and not proved."""
        if looks_like_credential(client_id):
            return CREDENTIAL_AS_CLIENT_ID
        return client_mark(self._key, client_id)

    @property
    def waiting(self) -> int:
        """How many records of reads and refused reads are in memory and not durable yet."""
        return self._buffer.waiting

    async def count_records(self) -> int:
        """How many records the heads of the chains speak of."""
        return sum(head.head_position for head in await Chains(self._db).list_heads())

    async def verify(self, *, advance: Callable[[int], None] = lambda _: None) -> Verification:
        """Walk every chain. `advance` is told how many more records were walked. Raises UnavailableError."""
        return await Verifier(Chains(self._db), self._key, advance=advance).verify()

    @property
    def public_key(self) -> str:
        """What checks this installation's exports."""
        return Exporter(Chains(self._db), self._key).public_key

    async def export(
        self, path: Path, about: Mapping[str, Any], *, advance: Callable[[int], None] = lambda _: None
    ) -> Verification:
        """Write every record to a new file that can be checked without us; see `Exporter.write`."""
        about = {**about, "exported_at": rfc3339(self._clock.now_ms())}
        return await Exporter(Chains(self._db), self._key).write(path, about, advance=advance)

    async def retain(
        self, before_ms: int, *, actor: Actor | None, advance: Callable[[int], None] = lambda _: None
    ) -> Retained:
        """Let go of what was recorded before this time; see `Retention.run`. A run that removed any is recorded."""
        request_id, now_ms = self._ids(), self._clock.now_ms()
        result = await Retention(self._db, self._key, self._clock).run(before_ms, advance=advance)
        if result.removed:
            record = AuditRecord(
                request_id=request_id,
                occurred_at=now_ms,
                tenant_id=PLATFORM_TENANT,
                endpoint="audit:retain",
                outcome="granted",
                details={"before": rfc3339(before_ms), "removed": result.removed, "chains_cut": result.chains_cut},
                actor=actor,
            )
            await self.record(record)
        return result

    async def chain_ends(self) -> dict[str, int]:
        """How many records each chain has had so far."""
        return {head.chain_id: head.head_position for head in await Chains(self._db).list_heads()}

    async def has(self, request_id: str) -> bool:
        """Whether a request left any record."""
        return bool(await self._all.find(request_id))

    async def prepare_months(self) -> list[str]:
        """Make the tables that the records of the months to come will lie in; see `Retention.prepare`."""
        return await Retention(self._db, self._key, self._clock).prepare()

    async def write_checkpoints(self) -> None:
        """One every ten seconds until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                await self._checkpoints.write()
            except UnavailableError:
                continue  # the next one sees what this one would have
