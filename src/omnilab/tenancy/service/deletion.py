"""Deleting a tenant: at once for its callers, then row by row, for good.

Promises that its tokens and credentials are refused within a second, that its key is never used again, and that
nothing of it is left but the key, the ids of its clients (so that a late caller's refusal can be explained) and audit
records, whose contacts nobody can recognise any more: the key of their HMACs is destroyed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from omnilab.audit.model import Actor
from omnilab.errors import ProvisioningError
from omnilab.storage.database import Transaction
from omnilab.storage.tenant_rows import remove_page, tables_of_tenants
from omnilab.tenancy.model.nouns import Tenant
from omnilab.tenancy.refusals import tenant_unknown
from omnilab.tenancy.service.documents import Document
from omnilab.tenancy.service.means import Means, Touched
from omnilab.tenancy.store.tenants import TenantDirectory, TenantStore

# By then every process has heard of it and has written what it had counted in memory for the tenant.
_SETTLE_SECONDS = 3.0


class TenantDeletion:
    """The verb. An interrupted deletion is taken up again by the same command."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def delete(
        self, key: str, *, confirmed: bool, actor: Actor, advance: Callable[[int], None] = lambda _: None
    ) -> Document:
        """Delete a tenant with all it has. Raises ProvisioningError `tenant_unknown` or `confirmation_missing`."""
        tenant = await TenantDirectory(self._means.db).find_with_deleted(key)
        if tenant is None:
            raise tenant_unknown(key)
        if not confirmed:
            raise ProvisioningError(
                "confirmation_missing",
                f"This ends the tenant {tenant.tenant} for good, with its clients, secrets and bookings; nothing takes "
                f"it back, and the key is never used again. Export it first (omnilab tenants export), then add "
                f"--confirm.",
            )
        note = self._means.note(actor)

        async def mark(tx: Transaction) -> None:
            current = await TenantDirectory(tx).find_with_deleted(key)
            if current is not None and current.status != "deleted":
                await TenantStore(tx, tenant.tenant_id).delete()
                await note.write(tx, "tenants:delete", Touched(tenant.tenant_id, tenant.tenant))

        await self._means.db.change(mark)
        await asyncio.sleep(_SETTLE_SECONDS)
        return await self._remove_rows(tenant, actor=actor, advance=advance)

    async def _remove_rows(self, tenant: Tenant, *, actor: Actor, advance: Callable[[int], None]) -> Document:
        removed: dict[str, int] = {}
        for table in tables_of_tenants():
            while count := await self._means.db.write(partial(remove_page, table=table, tenant_id=tenant.tenant_id)):
                removed[table.name] = removed.get(table.name, 0) + count
                advance(count)
        note = self._means.note(actor)
        touched = Touched(tenant.tenant_id, tenant.tenant)
        await self._means.db.change(lambda tx: note.write(tx, "tenants:erase", touched, removed))
        return {"tenant": tenant.tenant, "status": "deleted", "removed": removed}
