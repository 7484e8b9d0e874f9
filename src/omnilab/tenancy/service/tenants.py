"""Tenants: make, list, show, update, suspend, restore."""

from __future__ import annotations

from dataclasses import replace

from omnilab.audit.model import Actor
from omnilab.crypto.random import new_id, random_bytes
from omnilab.errors import ProvisioningError
from omnilab.storage.database import DuplicateRowError, Transaction
from omnilab.storage.tables import PLATFORM_TENANT
from omnilab.tenancy.model import rules
from omnilab.tenancy.model.nouns import (
    BOOKING_ENDPOINTS,
    DEFAULT_ALGORITHM,
    DEFAULT_LIFETIME_SECONDS,
    ENTITLED_FROM_THE_START,
    Audience,
    Tenant,
)
from omnilab.tenancy.model.orders import NewTenant, TenantChange
from omnilab.tenancy.model.place import Place
from omnilab.tenancy.refusals import checked, tenant_exists
from omnilab.tenancy.service.documents import Document, audience_document, tenant_document
from omnilab.tenancy.service.finding import get_tenant
from omnilab.tenancy.service.means import Means, Touched
from omnilab.tenancy.store.audiences import AudienceReader, AudienceStore
from omnilab.tenancy.store.entitlements import EntitlementReader, EntitlementStore
from omnilab.tenancy.store.tenants import TenantDirectory, TenantStore

CONTACT_KEY = "contact_key"
_PLATFORM_KEY = "-"  # no tenant can have this key: it is no DNS label


class Tenants:
    """The verbs on tenants. Every change needs an actor; refusals are ProvisioningErrors."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def ensure_platform(self, tx: Transaction) -> None:
        """Make the row of the platform's own tenant if it is missing."""
        if not await TenantDirectory(tx).has_platform():
            platform = Tenant(PLATFORM_TENANT, _PLATFORM_KEY, "OmniLab", "active", None, None, 0)
            await TenantStore(tx, PLATFORM_TENANT).insert(platform, self.new_contact_key(PLATFORM_TENANT))

    def new_contact_key(self, tenant_id: str) -> bytes:
        """A fresh sealed key for the HMACs of a tenant's external ids in audit records."""
        return self._means.master_key.seal(CONTACT_KEY, tenant_id, random_bytes(32))

    async def create(self, new: NewTenant, *, actor: Actor) -> Document:
        """Make a tenant with its default audience, entitled to read and cancel bookings."""
        note = self._means.note(actor)
        tenant = draft_tenant(new, note.now_ms)
        audience = default_audience(self._means.place, tenant)
        sealed = self.new_contact_key(tenant.tenant_id)

        async def unit(tx: Transaction) -> None:
            try:
                await TenantStore(tx, tenant.tenant_id).insert(tenant, sealed)
            except DuplicateRowError:
                raise tenant_exists(tenant.tenant) from None
            await AudienceStore(tx, tenant.tenant_id).insert(audience)
            await EntitlementStore(tx, tenant.tenant_id).add(ENTITLED_FROM_THE_START, note.now_ms)
            await note.write(tx, "tenants:create", touched(tenant), {"name": tenant.name})

        await self._means.db.change(unit)
        return await self.get(tenant.tenant)

    async def list_all(self) -> list[Document]:
        """All tenants by key."""
        return [tenant_document(each, self._means.place) for each in await TenantDirectory(self._means.db).list_all()]

    async def get(self, key: str) -> Document:
        """One tenant with its audiences and entitlements."""
        tenant = await get_tenant(self._means.db, key)
        audiences = await AudienceReader(self._means.db, tenant.tenant_id).list_all()
        entitled = await EntitlementReader(self._means.db, tenant.tenant_id).list_all()
        return tenant_document(tenant, self._means.place) | {
            "audience": next((each.audience for each in audiences if each.is_default), None),
            "audiences": [audience_document(key, each) for each in audiences],
            "entitlements": list(entitled),
        }

    async def get_id(self, key: str) -> str:
        """The tenant id of a key. Raises ProvisioningError `tenant_unknown`."""
        return (await get_tenant(self._means.db, key)).tenant_id

    async def update(self, key: str, change: TenantChange, *, actor: Actor) -> Document:
        """Change only the fields given."""
        if change == TenantChange():
            raise ProvisioningError("nothing_to_change", "Give at least one of --name, --token-quota and --api-quota.")
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> None:
            tenant = changed_tenant(await get_tenant(tx, key), change)
            await TenantStore(tx, tenant.tenant_id).update(tenant.name, tenant.token_quota, tenant.api_quota)
            details = {"name": change.name, "token_quota": change.token_quota, "api_quota": change.api_quota}
            await note.write(tx, "tenants:update", touched(tenant), details)

        await self._means.db.change(unit)
        return await self.get(key)

    async def suspend(self, key: str, *, actor: Actor) -> Document:
        """Refuse every token and call of the tenant until it is restored."""
        return await self._switch(key, "suspended", verb="tenants:suspend", actor=actor)

    async def restore(self, key: str, *, actor: Actor) -> Document:
        """Take a suspension back; unexpired tokens pass again."""
        return await self._switch(key, "active", verb="tenants:restore", actor=actor)

    async def reseal(self) -> int:
        """Seal every contact key under the first master key, a few at a time; returns how many were not so before."""
        count, after = 0, ""

        async def unit(tx: Transaction) -> tuple[int, str]:
            page = await TenantDirectory(tx).list_sealed(after)
            fresh = [(tenant_id, self._means.master_key.reseal(CONTACT_KEY, tenant_id, old)) for tenant_id, old in page]
            changed = [(tenant_id, sealed) for tenant_id, sealed in fresh if sealed is not None]
            for tenant_id, sealed in changed:
                await TenantStore(tx, tenant_id).reseal(sealed)
            return len(changed), page[-1][0] if page else ""

        while True:
            changed, after = await self._means.db.write(unit)
            count += changed
            if not after:
                return count

    async def _switch(self, key: str, status: str, *, verb: str, actor: Actor) -> Document:
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> bool:
            tenant = await get_tenant(tx, key)
            if tenant.status == status:
                return False
            await TenantStore(tx, tenant.tenant_id).set_status(status)
            await note.write(tx, verb, touched(tenant))
            return True

        changed = await self._means.db.change(unit)
        return await self.get(key) | {"changed": changed}


def draft_tenant(new: NewTenant, now_ms: int) -> Tenant:
    """A new tenant by the rules. Raises ProvisioningError."""
    return Tenant(
        tenant_id=new_id("ten_"),
        tenant=checked("tenant key", rules.tenant_key, new.tenant),
        name=checked("name", rules.display_name, new.name),
        status="active",
        token_quota=None if new.token_quota is None else checked("quota", rules.quota, new.token_quota),
        api_quota=None if new.api_quota is None else checked("quota", rules.quota, new.api_quota),
        created_at=now_ms,
    )


def default_audience(place: Place, tenant: Tenant) -> Audience:
    """The Booking API as every tenant has it."""
    uri = place.default_audience(tenant.tenant)
    return Audience(
        uri,
        DEFAULT_ALGORITHM,
        DEFAULT_LIFETIME_SECONDS,
        BOOKING_ENDPOINTS,
        is_default=True,
        created_at=tenant.created_at,
    )


def changed_tenant(tenant: Tenant, change: TenantChange) -> Tenant:
    """The tenant after a change, by the rules. Raises ProvisioningError."""
    if change.name is not None:
        tenant = replace(tenant, name=checked("name", rules.display_name, change.name))
    if change.token_quota is not None:
        tenant = replace(tenant, token_quota=checked("quota", rules.quota, change.token_quota))
    if change.api_quota is not None:
        tenant = replace(tenant, api_quota=checked("quota", rules.quota, change.api_quota))
    return tenant


def touched(tenant: Tenant) -> Touched:
    """A change of the tenant itself."""
    return Touched(tenant.tenant_id, tenant.tenant)
