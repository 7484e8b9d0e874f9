"""Many rows at once, across tenants or clients: for seeding only."""

from __future__ import annotations

from collections.abc import Sequence

from omnilab.storage.database import Transaction
from omnilab.tenancy.model.nouns import Audience, Tenant
from omnilab.tenancy.store.audiences import audience_row
from omnilab.tenancy.store.tenants import tenant_row
from omnilab.tenancy.tables import audiences, entitlements, grants, tenants


async def insert_tenants(
    tx: Transaction, made: Sequence[tuple[Tenant, bytes, Audience]], endpoints: Sequence[str]
) -> None:
    """Tenants with their sealed contact keys, default audiences and entitlements. Raises DuplicateRowError."""
    await tx.insert_rows(tenants, [tenant_row(tenant, sealed) for tenant, sealed, _ in made])
    await tx.insert_rows(audiences, [audience_row(tenant.tenant_id, audience) for tenant, _, audience in made])
    rows = [(tenant.tenant_id, endpoint, tenant.created_at) for tenant, _, _ in made for endpoint in endpoints]
    await tx.insert_rows(entitlements, rows)


async def insert_grants(
    tx: Transaction, tenant_id: str, granted: Sequence[tuple[str, Sequence[str]]], now_ms: int
) -> None:
    """Grants of new clients: (client id, endpoints)."""
    rows = [(tenant_id, client_id, endpoint, now_ms) for client_id, endpoints in granted for endpoint in endpoints]
    await tx.insert_rows(grants, rows)
