"""All that is kept of a tenant, as JSON lines: what `tenants export` writes. Reads through the houses' services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from omnilab.audit.model import Actor, AuditRecord, present
from omnilab.audit.service.export import new_file
from omnilab.bookings.routes.answers import booking_answers
from omnilab.cli.session import Session
from omnilab.installation import Installation

Document = dict[str, Any]


async def export_tenant(session: Session, key: str, file: Path, *, advance: Callable[[int], None]) -> Document:
    """Write the file and record who exported. Raises ProvisioningError `tenant_unknown`, `file_exists`."""
    actor, platform = session.actor, session.platform
    tenant = await platform.tenancy.tenants.get(key)
    counts: dict[str, int] = {}
    with new_file(file) as out:
        async for kind, document in _documents(platform, tenant):
            out.write(msgspec.json.encode({"kind": kind, **document}) + b"\n")
            counts[kind] = counts.get(kind, 0) + 1
            advance(1)
        # Recorded before the file has its name: an export nobody knows of must not exist.
        await platform.audit.record(_record(platform, tenant, counts, actor))
    return {"tenant": key, "file": str(file), "lines": counts}


async def _documents(platform: Installation, tenant: Document) -> AsyncIterator[tuple[str, Document]]:
    tenancy, tenant_id = platform.tenancy, str(tenant["tenant_id"])
    yield "tenant", tenant
    for client in await tenancy.clients.list_all(tenant=str(tenant["tenant"])):
        yield "client", client
        for secret in await tenancy.secrets.list_all(str(client["client_id"])):
            yield "secret", secret
    async for page in platform.bookings.pages(tenant_id):
        for booking in booking_answers(page):
            yield "booking", msgspec.to_builtins(booking)
    async for record in platform.audit.stream(tenant_id):
        yield "record", present(record)


def _record(platform: Installation, tenant: Document, counts: dict[str, int], actor: Actor) -> AuditRecord:
    return AuditRecord(
        request_id=platform.ids(),
        occurred_at=platform.clock.now_ms(),
        tenant_id=str(tenant["tenant_id"]),
        endpoint="tenants:export",
        outcome="granted",
        tenant=str(tenant["tenant"]),
        details=dict(counts),
        actor=actor,
    )
