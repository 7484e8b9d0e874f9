"""Many tenants and clients at once, for seeding an empty development installation. By the same rules, in few writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from omnilab.audit.model import Actor
from omnilab.storage.changes import append_change
from omnilab.storage.database import DuplicateRowError, Transaction
from omnilab.tenancy.model.nouns import ENTITLED_FROM_THE_START, Audience, Tenant
from omnilab.tenancy.model.orders import NewClient, NewTenant
from omnilab.tenancy.refusals import tenant_exists
from omnilab.tenancy.service.documents import IssuedClient
from omnilab.tenancy.service.drafts import DraftClient, DraftSecret, draft_client, new_secret
from omnilab.tenancy.service.finding import get_audiences, get_tenant
from omnilab.tenancy.service.means import Means, Note
from omnilab.tenancy.service.rights import entitle, refuse_beyond_audiences
from omnilab.tenancy.service.tenants import Tenants, default_audience, draft_tenant, touched
from omnilab.tenancy.store.clients import ClientStore
from omnilab.tenancy.store.rows import insert_grants, insert_tenants
from omnilab.tenancy.store.secrets import SecretStore

Drafted = tuple[NewClient, DraftClient, DraftSecret]


class Bulk:
    """Hundreds of rows a write; one audit record a tenant."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._tenants = Tenants(means)

    async def create_tenants(self, orders: Sequence[NewTenant], *, actor: Actor) -> None:
        """Make tenants with default audiences and entitlements, all or none."""
        note = self._means.note(actor)
        drafts = [draft_tenant(each, note.now_ms) for each in orders]
        sealed = [self._tenants.new_contact_key(each.tenant_id) for each in drafts]
        audiences = [default_audience(self._means.place, each) for each in drafts]

        async def unit(tx: Transaction) -> None:
            try:
                await insert_tenants(tx, list(zip(drafts, sealed, audiences, strict=True)), ENTITLED_FROM_THE_START)
            except DuplicateRowError:
                raise tenant_exists("of one of them") from None
            for each in drafts:
                await note.write(tx, "tenants:create", touched(each), {"name": each.name})

        await self._means.db.change(unit)

    async def create_clients(self, orders: Sequence[NewClient], *, actor: Actor) -> list[IssuedClient]:
        """Make clients with secrets and grants, all or none, in the order given. Entitles the tenants as needed."""
        note = self._means.note(actor)
        drafted: list[Drafted] = []
        for order in orders:
            draft = draft_client(order, note.now_ms)
            drafted.append((order, draft, new_secret(self._means, draft.client_id, note.now_ms, label=order.label)))

        async def unit(tx: Transaction) -> dict[str, IssuedClient]:
            made: dict[str, IssuedClient] = {}
            by_tenant: dict[str, list[Drafted]] = defaultdict(list)
            for each in drafted:
                by_tenant[each[0].tenant].append(each)
            for key, group in by_tenant.items():
                made |= await self._add(tx, note, await get_tenant(tx, key), group)
            return made

        made = await self._means.db.change(unit)
        return [made[draft.client_id] for _, draft, _ in drafted]

    async def _add(self, tx: Transaction, note: Note, tenant: Tenant, group: list[Drafted]) -> dict[str, IssuedClient]:
        wanted = tuple(sorted({endpoint for _, draft, _ in group for endpoint in draft.allow}))
        audiences: list[Audience] = await get_audiences(tx, tenant, ())
        await refuse_beyond_audiences(tx, tenant, [each.audience for each in audiences], wanted)
        await entitle(tx, tenant, wanted, note)
        clients = [draft.of(tenant, audiences) for _, draft, _ in group]
        await ClientStore(tx, tenant.tenant_id).insert(*clients)
        await SecretStore(tx, tenant.tenant_id).insert(*(secret.row for _, _, secret in group))
        await insert_grants(tx, tenant.tenant_id, [(each[1].client_id, each[1].allow) for each in group], note.now_ms)
        for client in clients:
            await append_change(tx, tenant.tenant_id, "client", client.client_id, now_ms=note.now_ms)
        await note.write(tx, "clients:create", touched(tenant), {"count": len(clients)})
        return {
            client.client_id: IssuedClient(
                client=replace(client, grants=draft.allow, entitlements=frozenset(draft.allow)),
                audience=audiences[0].audience,
                issued=secret.issued,
                place=self._means.place,
            )
            for client, (_, draft, secret) in zip(clients, group, strict=True)
        }
