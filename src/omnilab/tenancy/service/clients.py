"""Clients: make, list, show, update, disable, enable."""

from __future__ import annotations

from dataclasses import replace

from omnilab.audit.model import Actor
from omnilab.errors import ProvisioningError
from omnilab.storage.database import Transaction
from omnilab.tenancy.model.nouns import Audience, Client, Tenant
from omnilab.tenancy.model.orders import ClientChange, NewClient, Rotation
from omnilab.tenancy.refusals import checked, endpoint_not_entitled
from omnilab.tenancy.service.documents import Document, IssuedClient, client_document
from omnilab.tenancy.service.drafts import (
    DraftClient,
    DraftSecret,
    as_partner,
    changed_client,
    draft_client,
    new_secret,
)
from omnilab.tenancy.service.finding import get_audiences, get_client, get_tenant
from omnilab.tenancy.service.hand_offs import add_link, new_link
from omnilab.tenancy.service.means import Means, Note
from omnilab.tenancy.service.rights import entitle, of_client, refuse_beyond_audiences
from omnilab.tenancy.store.clients import ClientDirectory, ClientStore
from omnilab.tenancy.store.entitlements import EntitlementReader
from omnilab.tenancy.store.grants import GrantStore
from omnilab.tenancy.store.secrets import SecretStore


class Clients:
    """The verbs on clients. Every change needs an actor; refusals are ProvisioningErrors."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def create(self, new: NewClient, *, actor: Actor) -> IssuedClient:
        """Make a client with its first secret and its grants.

        In development a grant also entitles the tenant; elsewhere one it is not entitled to is refused.
        """
        note = self._means.note(actor)
        draft = draft_client(new, note.now_ms)
        secret = new_secret(
            self._means, draft.client_id, note.now_ms, label=new.label, expires_in_seconds=new.expires_in_seconds
        )

        async def unit(tx: Transaction) -> tuple[Client, str]:
            tenant = await get_tenant(tx, new.tenant)
            await refuse_second_of_partner(tx, tenant, draft.partner)
            audiences = await get_audiences(tx, tenant, new.audiences)
            client = await add_client(tx, self._means, note, placed=(tenant, audiences, draft), secret=secret)
            return client, audiences[0].audience

        client, audience = await self._means.db.change(unit)
        return IssuedClient(client=client, audience=audience, issued=secret.issued, place=self._means.place)

    async def create_for_hand_off(self, new: NewClient, *, actor: Actor) -> Document:
        """The same client without a secret, and a link for whoever is to have its first one."""
        note = self._means.note(actor)
        draft = draft_client(new, note.now_ms)
        order = Rotation(label=new.label, expires_in_seconds=new.expires_in_seconds)
        link = new_link(self._means, draft.client_id, note.now_ms, order=order)

        async def unit(tx: Transaction) -> Client:
            tenant = await get_tenant(tx, new.tenant)
            await refuse_second_of_partner(tx, tenant, draft.partner)
            audiences = await get_audiences(tx, tenant, new.audiences)
            client = await add_client(tx, self._means, note, placed=(tenant, audiences, draft), secret=None)
            await add_link(tx, note, client, link)
            return client

        shown = client_document(await self._means.db.change(unit), self._means.place)
        kept = {name: shown[name] for name in ("client_id", "audience", "base_url", "token_url", "issuer", "allowed")}
        return kept | link.document(self._means.place.issuer)

    async def list_all(self, *, tenant: str | None = None, partner: str | None = None) -> list[Document]:
        """Clients by tenant and age, of one tenant and one partner if given."""
        tenant_id = None if tenant is None else (await get_tenant(self._means.db, tenant)).tenant_id
        found = await ClientDirectory(self._means.db).list_all(tenant_id=tenant_id, partner=partner)
        return [client_document(each, self._means.place) for each in found]

    async def get(self, client_id: str) -> Document:
        """One client, without its secrets."""
        return client_document(await get_client(self._means.db, client_id), self._means.place)

    async def update(self, client_id: str, change: ClientChange, *, actor: Actor) -> Document:
        """Change only the fields given; `audiences` replaces the list."""
        if change == ClientChange():
            raise ProvisioningError("nothing_to_change", "Give at least one field to change.")
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> None:
            client = changed_client(await get_client(tx, client_id), change)
            if change.audiences is not None:
                tenant = await get_tenant(tx, client.tenant)
                chosen = await get_audiences(tx, tenant, change.audiences)
                client = replace(client, audiences=tuple(each.audience for each in chosen))
            await ClientStore(tx, client.tenant_id).update(client)
            await note.write(tx, "clients:update", of_client(client), _told(change))

        await self._means.db.change(unit)
        return await self.get(client_id)

    async def disable(self, client_id: str, *, actor: Actor) -> Document:
        """Refuse every token and call of a client until it is enabled."""
        return await self._switch(client_id, "disabled", actor=actor)

    async def enable(self, client_id: str, *, actor: Actor) -> Document:
        """Take `disable` back; unexpired tokens pass again."""
        return await self._switch(client_id, "active", actor=actor)

    async def disable_partner(self, partner: str, *, actor: Actor) -> list[Document]:
        """Disable every client of a partner, in all tenants, at one stroke. Raises `partner_unknown`."""
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> set[str]:
            found = await ClientDirectory(tx).list_all(partner=partner)
            if not found:
                name = checked("partner", as_partner, partner)
                raise ProvisioningError("partner_unknown", f"No client belongs to a partner {name}.")
            return {each.client_id for each in found if await self._set_status(tx, note, each, "disabled")}

        changed = await self._means.db.change(unit)
        return [each | {"changed": each["client_id"] in changed} for each in await self.list_all(partner=partner)]

    async def _switch(self, client_id: str, status: str, *, actor: Actor) -> Document:
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> bool:
            return await self._set_status(tx, note, await get_client(tx, client_id), status)

        changed = await self._means.db.change(unit)
        return await self.get(client_id) | {"changed": changed}

    async def _set_status(self, tx: Transaction, note: Note, client: Client, status: str) -> bool:
        if client.status == status:
            return False
        await ClientStore(tx, client.tenant_id).set_status(client.client_id, status)
        verb = "clients:enable" if status == "active" else "clients:disable"
        await note.write(tx, verb, of_client(client), {"partner": client.partner})
        return True


async def add_client(
    tx: Transaction,
    means: Means,
    note: Note,
    *,
    placed: tuple[Tenant, list[Audience], DraftClient],
    secret: DraftSecret | None,
) -> Client:
    """Write a client, its first secret (None: a link will make it) and its grants; returns it as it now is.

    Raises ProvisioningError.
    """
    tenant, audiences, draft = placed
    client = draft.of(tenant, audiences)
    await refuse_beyond_audiences(tx, tenant, client.audiences, draft.allow)
    await _entitled(tx, means, note, tenant=tenant, endpoints=draft.allow)
    await ClientStore(tx, tenant.tenant_id).insert(client)
    if secret is not None:
        await SecretStore(tx, tenant.tenant_id).insert(secret.row)
    await GrantStore(tx, tenant.tenant_id).add(client.client_id, draft.allow, note.now_ms)
    details = {
        "name": client.name,
        "allowed": " ".join(draft.allow),
        "partner": client.partner,
        "audiences": " ".join(client.audiences),
        "token_addresses": client.token_addresses,
        "api_addresses": client.api_addresses,
    }
    await note.write(
        tx, "clients:create", of_client(client, None if secret is None else secret.secret.secret_id), details
    )
    return replace(client, grants=draft.allow, entitlements=frozenset(draft.allow))


async def refuse_second_of_partner(tx: Transaction, tenant: Tenant, partner: str | None) -> None:
    """A partner has one client per tenant, so that its access can be told and ended. Raises ProvisioningError."""
    if partner is None:
        return
    for each in await ClientDirectory(tx).list_all(tenant_id=tenant.tenant_id, partner=partner):
        raise ProvisioningError(
            "partner_client_exists",
            f"The partner {partner} has the client {each.client_id} in the tenant {tenant.tenant} already;"
            f" `omnilab secrets add {each.client_id}` gives it another secret.",
        )


async def _entitled(tx: Transaction, means: Means, note: Note, *, tenant: Tenant, endpoints: tuple[str, ...]) -> None:
    """Every endpoint is one the tenant is entitled to; in development it is made so. Raises ProvisioningError."""
    if means.place.development:
        await entitle(tx, tenant, endpoints, note)
        return
    known = await EntitlementReader(tx, tenant.tenant_id).list_all()
    for endpoint in endpoints:
        if endpoint not in known:
            raise endpoint_not_entitled(tenant.tenant, endpoint)


def _told(change: ClientChange) -> dict[str, str | int | None]:
    return {
        "name": change.name,
        "audiences": None if change.audiences is None else " ".join(change.audiences),
        "technical_contact": change.technical_contact,
        "token_quota": change.token_quota,
        "api_quota": change.api_quota,
        "token_addresses": None if change.token_addresses is None else " ".join(change.token_addresses),
        "api_addresses": None if change.api_addresses is None else " ".join(change.api_addresses),
    }
