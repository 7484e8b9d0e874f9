"""Reading records back: one tenant's by construction, everybody's under another name for operators' doors.

Records are keyed by time, so every question is a range of request ids, answered in pages: memory stays constant
however many records there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, column, literal_column, select, table
from sqlalchemy import or_ as either

from omnilab.audit.model.record import AuditRecord, decode, request_time
from omnilab.audit.store.sink import Entry
from omnilab.audit.tables import audit_records
from omnilab.storage.database import Reader
from omnilab.storage.statement import Row, Statement
from omnilab.storage.tables import PLATFORM_TENANT

PAGE_ROWS = 500
_END = "~"  # sorts after every request id
_DECISION = audit_records.c.outcome != literal_column("'checkpoint'")
# Written out, not bound: only then does the database see that the index of refusals holds all that is asked for.
_REFUSED = audit_records.c.outcome == literal_column("'refused'")
_BOUNDS = ("floor", "until", "position")


def _newest_first(*conditions: ColumnElement[bool]) -> Select[tuple[str, int, str]]:
    """A page of records from `floor` on that come before the record (`until`, `position`)."""
    columns = audit_records.c
    before = either(columns.request_id < bindparam("until"), columns.chain_position < bindparam("position"))
    return (
        select(columns.request_id, columns.chain_position, columns.body)
        .where(columns.request_id >= bindparam("floor"), columns.request_id <= bindparam("until"), before, *conditions)
        .order_by(columns.request_id.desc(), columns.chain_position.desc())
        .limit(PAGE_ROWS)
    )


_OF_TENANT = audit_records.c.tenant_id == bindparam("tenant")
_ALL = Statement(_newest_first(_DECISION), *_BOUNDS)
_ALL_REFUSALS = Statement(_newest_first(_REFUSED), *_BOUNDS)
_TENANTS = Statement(_newest_first(_DECISION, _OF_TENANT), *_BOUNDS, "tenant")
_TENANTS_REFUSALS = Statement(_newest_first(_REFUSED, _OF_TENANT), *_BOUNDS, "tenant")
_BY_REQUEST = Statement(
    select(audit_records.c.tenant_id, audit_records.c.outcome, audit_records.c.body)
    .where(audit_records.c.request_id == bindparam("wanted"))
    .order_by(audit_records.c.chain_position),
    "wanted",
)

# Tenancy's reference data, read by name: tenancy imports audit, so audit must not import tenancy.
_tenants = table("tenants", column("tenant_id"), column("tenant"), column("status"))
_directory = table("client_directory", column("client_id"), column("tenant_id"))
_TENANT_ID = Statement(select(_tenants.c.tenant_id).where(_tenants.c.tenant == bindparam("wanted")), "wanted")
_TENANT_OF = Statement(
    select(_tenants.c.tenant, _tenants.c.status)
    .select_from(_tenants.join(_directory, _directory.c.tenant_id == _tenants.c.tenant_id))
    .where(_directory.c.client_id == bindparam("wanted")),
    "wanted",
)
# Client ids that an earlier system made. `_` stands for any character: a few of our own more do no harm.
_FOREIGN_CLIENT_IDS = Statement(select(_directory.c.client_id).where(_directory.c.client_id.not_like("cli__%")))
_CLIENT_IDS = Statement(select(_directory.c.client_id).where(_directory.c.tenant_id == bindparam("wanted")), "wanted")


class AllRecords:
    """The records of every tenant, for operators' doors only; by request id it is one of the two named exceptions."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, request_id: str) -> list[AuditRecord]:
        """What one request left, in the order in which it was recorded."""
        return [_read(request_id, body) for _, _, body in await self._reader.fetch(_BY_REQUEST, request_id)]

    async def newest_first(self, floor: str, *, refusals_only: bool, until: str = _END) -> AsyncIterator[AuditRecord]:
        """Decisions whose request id is `floor` or later and before `until`."""
        statement = _ALL_REFUSALS if refusals_only else _ALL
        async for record in _pages(self._reader, statement, floor, until=until):
            yield record

    async def find_tenant_id(self, tenant: str) -> str | None:
        """The id of a tenant by its key."""
        row = await self._reader.fetch_one(_TENANT_ID, tenant)
        return None if row is None else str(row[0])

    async def find_tenant_of(self, client_id: str) -> str | None:
        """The key of the tenant a client belongs to, or belonged to."""
        row = await self._reader.fetch_one(_TENANT_OF, client_id)
        if row is None:
            return None
        return f"{row[0]} (a tenant that was deleted)" if row[1] == "deleted" else str(row[0])

    async def list_foreign_client_ids(self) -> list[str]:
        """The client ids that are not in our own form."""
        return [str(row[0]) for row in await self._reader.fetch(_FOREIGN_CLIENT_IDS)]


class TenantRecords:
    """The records of one tenant."""

    def __init__(self, reader: Reader, tenant_id: str) -> None:
        self._reader = reader
        self._tenant_id = tenant_id

    async def newest_first(self, floor: str, *, refusals_only: bool) -> AsyncIterator[AuditRecord]:
        """Decisions whose request id is `floor` or later."""
        statement = _TENANTS_REFUSALS if refusals_only else _TENANTS
        async for record in _pages(self._reader, statement, floor, self._tenant_id):
            yield record

    async def list_client_ids(self) -> list[str]:
        """All clients of the tenant, to recognise claims."""
        return [str(row[0]) for row in await self._reader.fetch(_CLIENT_IDS, self._tenant_id)]


async def list_recorded(reader: Reader, request_id: str) -> list[Entry]:
    """What stands in the database of a request, as it was handed to `AuditSink`."""
    rows = await reader.fetch(_BY_REQUEST, request_id)
    return [(tenant_id, request_id, outcome, body.encode()) for tenant_id, outcome, body in rows]


def unproven_refusals(reader: Reader, floor: str) -> AsyncIterator[AuditRecord]:
    """Refusals without a proved tenant: they belong to the platform, and may claim to be anybody's."""
    return _pages(reader, _TENANTS_REFUSALS, floor, PLATFORM_TENANT)


async def _pages(
    reader: Reader, statement: Statement, floor: str, *args: str, until: str = _END
) -> AsyncIterator[AuditRecord]:
    end, position = until, 0
    rows: list[Row] = []
    while not rows or len(rows) == PAGE_ROWS:
        rows = await reader.fetch(statement, floor, end, position, *args)
        for end, position, body in rows:  # noqa: B007 - where the next page begins
            yield _read(end, body)
        if not rows:
            return


def _read(request_id: str, body: str | bytes) -> AuditRecord:
    """A record, or in its place one that says that somebody changed it beyond reading."""
    try:
        return decode(body)
    except msgspec.DecodeError:
        return AuditRecord(
            request_id=request_id,
            occurred_at=request_time(request_id) or 0,
            tenant_id=PLATFORM_TENANT,
            endpoint="unreadable",
            outcome="refused",
            reason="this record cannot be read: it was changed; run `omnilab audit verify`",
        )
