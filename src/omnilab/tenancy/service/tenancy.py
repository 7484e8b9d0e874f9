"""All verbs of tenancy in one hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from omnilab.clock import Clock
from omnilab.crypto.sealing import MasterKey
from omnilab.storage.database import Database
from omnilab.tenancy.model.place import Place
from omnilab.tenancy.refusals import tenant_unknown
from omnilab.tenancy.service.audiences import Audiences
from omnilab.tenancy.service.bulk import Bulk
from omnilab.tenancy.service.clients import Clients
from omnilab.tenancy.service.compromise import Compromise, Reporter
from omnilab.tenancy.service.deletion import TenantDeletion
from omnilab.tenancy.service.expiry import Expiry
from omnilab.tenancy.service.hand_offs import HandOffs
from omnilab.tenancy.service.imports import Imports
from omnilab.tenancy.service.means import Means, Recorder
from omnilab.tenancy.service.reports import Reports
from omnilab.tenancy.service.rights import Entitlements, Grants
from omnilab.tenancy.service.secrets import Secrets
from omnilab.tenancy.service.tenants import CONTACT_KEY, Tenants
from omnilab.tenancy.store.tenants import TenantDirectory


class Auditor(Recorder, Reporter, Protocol):
    """What tenancy asks of the audit, all together."""


class TenancyService:
    """Provisioning: `tenancy.clients.create(…)` and so on, a noun each.

    Every verb checks the rules, makes its change, announces it to all processes and records who made it, in one
    transaction. Refusals are ProvisioningErrors with a code and words for the operator.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock,
        ids: Callable[[], str],
        audit: Auditor,
        place: Place,
        keys: tuple[MasterKey, bytes],
    ) -> None:
        master_key, pepper = keys
        means = Means(db=db, clock=clock, ids=ids, audit=audit, place=place, master_key=master_key, pepper=pepper)
        self.place = place
        self.tenants = Tenants(means)
        self.entitlements = Entitlements(means)
        self.audiences = Audiences(means)
        self.clients = Clients(means)
        self.secrets = Secrets(means)
        self.grants = Grants(means)
        self.expiry = Expiry(means)
        self.hand_offs = HandOffs(means)
        self.imports = Imports(means)
        self.compromise = Compromise(means, self.secrets, self.hand_offs, audit)
        self.bulk = Bulk(means)
        self.deletion = TenantDeletion(means)
        self.reports = Reports(means)
        self._master_key = master_key
        self._db = db

    def open_contact_key(self, tenant_id: str, sealed: bytes) -> bytes:
        """The key for HMACs of a tenant's external ids. Raises SealBrokenError."""
        return self._master_key.open(CONTACT_KEY, tenant_id, sealed)

    async def contact_key(self, tenant: str) -> tuple[str, bytes]:
        """Tenant id and the key for HMACs of this tenant's external ids. Raises ProvisioningError `tenant_unknown`."""
        found = await TenantDirectory(self._db).find_contact_key(tenant)
        if found is None:
            raise tenant_unknown(tenant)
        return found[0], self.open_contact_key(*found)
