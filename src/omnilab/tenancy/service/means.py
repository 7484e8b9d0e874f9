"""What every verb of tenancy works with, and how a change is announced and recorded in its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from omnilab.audit.model import Actor, AuditRecord
from omnilab.clock import Clock
from omnilab.crypto.sealing import MasterKey
from omnilab.storage.changes import append_change
from omnilab.storage.database import Database, Transaction
from omnilab.tenancy.model.place import Place


class Recorder(Protocol):
    """What tenancy asks of the audit."""

    def record_in(self, tx: Transaction, record: AuditRecord) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The services and keys that the verbs share. `pepper` keys the digests of secrets."""

    db: Database
    clock: Clock
    ids: Callable[[], str]
    audit: Recorder
    place: Place
    master_key: MasterKey
    pepper: bytes

    def note(self, actor: Actor | None, request_id: str | None = None) -> Note:
        """A note of one change, made now. Call it before the unit: ids and clocks belong to the event loop."""
        return Note(audit=self.audit, actor=actor, request_id=request_id or self.ids(), now_ms=self.clock.now_ms())


@dataclass(frozen=True, slots=True)
class Touched:
    """Whose the changed thing is. With a client, the client's entry is reloaded; without, the tenant's."""

    tenant_id: str
    tenant: str
    client_id: str | None = None
    secret_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One change by one person at one time (`now_ms`, milliseconds since 1970 UTC)."""

    audit: Recorder
    actor: Actor | None
    request_id: str
    now_ms: int

    async def write(
        self, tx: Transaction, verb: str, touched: Touched, details: Mapping[str, str | int | None] | None = None
    ) -> None:
        """Announce the change to every process and record who made it, in the change's own transaction."""
        kind = "tenant" if touched.client_id is None else "client"
        await append_change(tx, touched.tenant_id, kind, touched.client_id, now_ms=self.now_ms)
        record = AuditRecord(
            request_id=self.request_id,
            occurred_at=self.now_ms,
            tenant_id=touched.tenant_id,
            endpoint=verb,
            outcome="granted",
            tenant=touched.tenant,
            client_id=touched.client_id,
            secret_id=touched.secret_id,
            details={name: value for name, value in (details or {}).items() if value is not None},
            actor=self.actor,
        )
        self.audit.record_in(tx, record)
