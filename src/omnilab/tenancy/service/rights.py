"""Entitlements and endpoint grants. Effective right = token scope ∩ live grants ∩ entitlement."""

from __future__ import annotations

from collections.abc import Sequence

from omnilab.audit.model import Actor
from omnilab.storage.database import Transaction
from omnilab.tenancy.model import rules
from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.model.nouns import Client, Tenant
from omnilab.tenancy.refusals import checked, endpoint_not_entitled, endpoint_not_in_audience
from omnilab.tenancy.service.documents import Document
from omnilab.tenancy.service.finding import get_client, get_endpoint_owners, get_tenant
from omnilab.tenancy.service.means import Means, Note, Touched
from omnilab.tenancy.store.entitlements import EntitlementReader, EntitlementStore
from omnilab.tenancy.store.grants import GrantReader, GrantStore


class Entitlements:
    """What a tenant may be granted at most."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def allow(self, key: str, endpoints: Sequence[str], *, actor: Actor) -> Document:
        """Entitle a tenant to endpoints of its audiences; what it has already stays as it is."""
        wanted = endpoint_names(endpoints)
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> list[str]:
            tenant = await get_tenant(tx, key)
            await get_endpoint_owners(tx, tenant, wanted)
            return await entitle(tx, tenant, wanted, note)

        changed = await self._means.db.change(unit)
        return await self._answer(key, changed)

    async def withdraw(self, key: str, endpoints: Sequence[str], *, actor: Actor) -> Document:
        """Take entitlements back: grants of the tenant's clients stay, and count for nothing."""
        wanted = endpoint_names(endpoints)
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> list[str]:
            tenant = await get_tenant(tx, key)
            removed = await EntitlementStore(tx, tenant.tenant_id).remove(wanted)
            if removed:
                what = {"endpoints": " ".join(removed)}
                await note.write(tx, "entitlements:withdraw", Touched(tenant.tenant_id, tenant.tenant), what)
            return removed

        changed = await self._means.db.change(unit)
        return await self._answer(key, changed)

    async def list_all(self, key: str) -> list[Document]:
        """A tenant's entitlements by name."""
        tenant = await get_tenant(self._means.db, key)
        found = await EntitlementReader(self._means.db, tenant.tenant_id).list_all()
        return [{"tenant": key, "endpoint": name, "created_at": rfc3339(at_ms)} for name, at_ms in found.items()]

    async def _answer(self, key: str, changed: list[str]) -> Document:
        entitled = [each["endpoint"] for each in await self.list_all(key)]
        return {"tenant": key, "entitlements": entitled, "changed": changed}


class Grants:
    """What a client may call."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def allow(self, client_id: str, endpoints: Sequence[str], *, actor: Actor) -> Document:
        """Grant endpoints that the client's audiences have and its tenant is entitled to."""
        wanted = endpoint_names(endpoints)
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> list[str]:
            client = await get_client(tx, client_id)
            tenant = await get_tenant(tx, client.tenant)
            await refuse_beyond_audiences(tx, tenant, client.audiences, wanted)
            for endpoint in wanted:
                if endpoint not in client.entitlements:
                    raise endpoint_not_entitled(tenant.tenant, endpoint)
            added = await GrantStore(tx, client.tenant_id).add(client_id, wanted, note.now_ms)
            if added:
                await note.write(tx, "grants:allow", of_client(client), {"endpoints": " ".join(added)})
            return added

        changed = await self._means.db.change(unit)
        return await self._answer(client_id, changed)

    async def withdraw(self, client_id: str, endpoints: Sequence[str], *, actor: Actor) -> Document:
        """Take grants back; tokens that carry them are refused there within a second."""
        wanted = endpoint_names(endpoints)
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> list[str]:
            client = await get_client(tx, client_id)
            removed = await GrantStore(tx, client.tenant_id).remove(client_id, wanted)
            if removed:
                await note.write(tx, "grants:withdraw", of_client(client), {"endpoints": " ".join(removed)})
            return removed

        changed = await self._means.db.change(unit)
        return await self._answer(client_id, changed)

    async def list_all(self, client_id: str) -> list[Document]:
        """A client's grants by name, and whether its tenant is entitled to each."""
        client = await get_client(self._means.db, client_id)
        found = await GrantReader(self._means.db, client.tenant_id).list_all(client_id)
        return [
            {
                "client_id": client_id,
                "tenant": client.tenant,
                "endpoint": endpoint,
                "entitled": endpoint in client.entitlements,
                "created_at": rfc3339(at_ms),
            }
            for endpoint, at_ms in found.items()
        ]

    async def _answer(self, client_id: str, changed: list[str]) -> Document:
        client = await get_client(self._means.db, client_id)
        return {"client_id": client_id, "tenant": client.tenant, "allowed": client.allowed, "changed": changed}


def endpoint_names(given: Sequence[str]) -> tuple[str, ...]:
    """The names by the rules, sorted, each once. Raises ProvisioningError."""
    return tuple(sorted({checked("endpoint", rules.endpoint_name, each) for each in given}))


async def entitle(tx: Transaction, tenant: Tenant, endpoints: Sequence[str], note: Note) -> list[str]:
    """Entitle a tenant; returns what it was not entitled to before."""
    added = await EntitlementStore(tx, tenant.tenant_id).add(endpoints, note.now_ms)
    if added:
        what = {"endpoints": " ".join(added)}
        await note.write(tx, "entitlements:allow", Touched(tenant.tenant_id, tenant.tenant), what)
    return added


async def refuse_beyond_audiences(
    tx: Transaction, tenant: Tenant, audiences: Sequence[str], endpoints: tuple[str, ...]
) -> None:
    """Raises ProvisioningError where an endpoint belongs to none of these audiences: no token could ever carry it."""
    for endpoint, owner in (await get_endpoint_owners(tx, tenant, endpoints)).items():
        if owner not in audiences:
            raise endpoint_not_in_audience(endpoint, owner)


def of_client(client: Client, secret_id: str | None = None) -> Touched:
    """A change of a client or of one of its secrets."""
    return Touched(client.tenant_id, client.tenant, client.client_id, secret_id)
