"""Asking the audit: what one request was decided on, who was refused and why. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from omnilab.audit.model.causes import Causes
from omnilab.audit.model.chain import ChainKey
from omnilab.audit.model.claims import CREDENTIAL_AS_CLIENT_ID, Claims, truer_cause
from omnilab.audit.model.edge import WINDOW_MS
from omnilab.audit.model.events import Severity, at_least, severity_of
from omnilab.audit.model.record import CLAIMED_CLIENT, AuditRecord, Outcome, request_id_floor
from omnilab.audit.model.secret_report import SecretReport
from omnilab.audit.store.records import AllRecords, TenantRecords, unproven_refusals
from omnilab.errors import ProvisioningError
from omnilab.storage.database import Reader
from omnilab.telemetry.redaction import mask

DEFAULT_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Which decisions to list, newest first. `tenant` is a key; `since_ms` is in milliseconds since 1970 UTC.

    severity: only security events of this severity or above it.
    """

    tenant: str | None = None
    client_id: str | None = None
    since_ms: int = 0
    outcome: Outcome | None = None
    severity: Severity | None = None
    limit: int = DEFAULT_LIMIT


class Inquiry:
    """The questions an operator asks of the records."""

    def __init__(self, reader: Reader, key: ChainKey) -> None:
        self._reader = reader
        self._key = key
        self._all = AllRecords(reader)

    async def find(self, request_id: str) -> list[AuditRecord]:
        """Everything one request left, in the order in which it was recorded; empty when nothing is known of it."""
        return [await self._explained(record) for record in await self._all.find(request_id)]

    async def find_by_caller(self, caller_request_id: str, *, near_ms: int) -> list[AuditRecord]:
        """What a request left that carried this id of the caller's, among those of the minutes around a time (ms)."""
        found = []
        floor, until = request_id_floor(near_ms - WINDOW_MS), request_id_floor(near_ms + WINDOW_MS)
        async for record in self._all.newest_first(floor, refusals_only=False, until=until):
            if record.caller_request_id == caller_request_id:
                found.append(await self._explained(record))
        return found[::-1]

    async def list_records(self, query: RecordQuery) -> list[AuditRecord]:
        """Decisions, newest first. A tenant's or client's are those that proved to be its, and refusals that claim it.

        Raises ProvisioningError `tenant_unknown`.
        """
        floor = request_id_floor(query.since_ms)
        refusals_only = query.outcome == "refused"
        if query.tenant is None:
            claims = Claims(self._key, tenant=None, client_ids=[query.client_id] if query.client_id else [])
            records = self._all.newest_first(floor, refusals_only=refusals_only)
            return await _first(records, query, lambda record: claims.count(record) > 0)
        tenant_records, claims = await self._of_tenant(query.tenant, query.client_id)
        proved = tenant_records.newest_first(floor, refusals_only=refusals_only)
        found = await _first(proved, query, lambda _: False)
        if query.outcome != "granted":
            unproven = unproven_refusals(self._reader, floor)
            found += await _first(unproven, query, lambda record: claims.count(record) > 0, only_claims=True)
        found.sort(key=lambda record: record.request_id, reverse=True)
        return found[: query.limit]

    def stream(self, tenant_id: str) -> AsyncIterator[AuditRecord]:
        """Every record of one tenant, newest first."""
        return TenantRecords(self._reader, tenant_id).newest_first("", refusals_only=False)

    async def explain(self, tenant: str, since_ms: int) -> list[dict[str, Any]]:
        """A tenant's refusals grouped by cause, with the fix and a reply. Raises ProvisioningError `tenant_unknown`."""
        floor = request_id_floor(since_ms)
        tenant_records, claims = await self._of_tenant(tenant, None)
        causes = Causes()
        async for record in tenant_records.newest_first(floor, refusals_only=True):
            causes.add(record, client_id=record.client_id)
        async for record in unproven_refusals(self._reader, floor):
            if (count := claims.count(record)) > 0:
                client_id = claims.client_of(record)
                if client_id is not None:
                    record = truer_cause(record, (client_id, tenant))  # noqa: PLW2901 - the same record, better told
                causes.add(record, client_id=client_id, count=count)
        return causes.present()

    async def report_secret(self, tenant: str, secret_id: str, since_ms: int) -> SecretReport:
        """Everything a credential was used for since then. Raises ProvisioningError `tenant_unknown`."""
        tenant_records, _ = await self._of_tenant(tenant, "")
        report = SecretReport()
        async for record in tenant_records.newest_first(request_id_floor(since_ms), refusals_only=False):
            if record.secret_id == secret_id and record.actor is None:
                report.add(record)
        return report

    async def _explained(self, record: AuditRecord) -> AuditRecord:
        mark = str(record.details.get(CLAIMED_CLIENT, ""))
        if not mark or mark == CREDENTIAL_AS_CLIENT_ID:
            return truer_cause(record, None)
        candidates = await self._all.list_foreign_client_ids() if mark.startswith("hmac:") else [mark]
        client_id = Claims(self._key, tenant=None, client_ids=candidates).client_of(record)
        tenant = await self._all.find_tenant_of(client_id) if client_id else None
        return truer_cause(record, (client_id, tenant) if client_id and tenant else None)

    async def _of_tenant(self, tenant: str, client_id: str | None) -> tuple[TenantRecords, Claims]:
        tenant_id = await self._all.find_tenant_id(tenant)
        if tenant_id is None:
            raise ProvisioningError("tenant_unknown", f"There is no tenant {mask(tenant)!r}.")
        records = TenantRecords(self._reader, tenant_id)
        if client_id is not None:
            return records, Claims(self._key, tenant=None, client_ids=[client_id])
        return records, Claims(self._key, tenant=tenant, client_ids=await records.list_client_ids())


async def _first(
    records: AsyncIterator[AuditRecord],
    query: RecordQuery,
    is_claimed: Callable[[AuditRecord], bool],
    *,
    only_claims: bool = False,
) -> list[AuditRecord]:
    """The first so many records that the query asks for, or that claim to be whom it asks for."""
    found: list[AuditRecord] = []
    severities = None if query.severity is None else at_least(query.severity)
    async for record in records:
        if severities is not None and severity_of(record) not in severities:
            continue
        if query.outcome is not None and record.outcome != query.outcome:
            continue
        proved = not only_claims and query.client_id in (None, record.client_id)
        if proved or is_claimed(record):
            found.append(record)
            if len(found) >= query.limit:
                break
    return found
