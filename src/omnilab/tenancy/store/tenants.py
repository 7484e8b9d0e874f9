"""Tenants' rows. `TenantDirectory` spans tenants and is for operators' doors only."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.storage.tables import PLATFORM_TENANT
from omnilab.tenancy.model.nouns import Tenant
from omnilab.tenancy.tables import tenants

_COLUMNS = select(
    tenants.c.tenant_id, tenants.c.tenant, tenants.c.name, tenants.c.status, tenants.c.token_quota,
    tenants.c.api_quota, tenants.c.created_at,
).where(tenants.c.tenant_id != PLATFORM_TENANT, tenants.c.status != "deleted")  # fmt: skip
_BY_KEY = Statement(_COLUMNS.where(tenants.c.tenant == bindparam("wanted")), "wanted")
_WITH_DELETED = Statement(
    select(*(tenants.c[name] for name in Tenant.__dataclass_fields__)).where(
        tenants.c.tenant_id != PLATFORM_TENANT, tenants.c.tenant == bindparam("wanted")
    ),
    "wanted",
)
_CONTACT_KEY = Statement(
    select(tenants.c.tenant_id, tenants.c.sealed_contact_key).where(
        tenants.c.tenant == bindparam("wanted"), tenants.c.status != "deleted"
    ),
    "wanted",
)
_ALL = Statement(_COLUMNS.order_by(tenants.c.tenant))
_PLATFORM = Statement(select(tenants.c.tenant_id).where(tenants.c.tenant_id == PLATFORM_TENANT))
_MINE = tenants.c.tenant_id == bindparam("of_tenant")
_UPDATE = Statement(
    update(tenants)
    .where(_MINE)
    .values(name=bindparam("new_name"), token_quota=bindparam("new_token"), api_quota=bindparam("new_api")),
    "new_name",
    "new_token",
    "new_api",
    "of_tenant",
)
# What is left of a deleted tenant: its id and key. Without the key of its HMACs no contact can be recognised.
_DELETE = Statement(
    update(tenants)
    .where(_MINE)
    .values(status="deleted", name="", sealed_contact_key=b"", token_quota=None, api_quota=None),
    "of_tenant",
)
_SET_STATUS = Statement(update(tenants).where(_MINE).values(status=bindparam("new_status")), "new_status", "of_tenant")


_SEALED = Statement(
    select(tenants.c.tenant_id, tenants.c.sealed_contact_key)
    .where(tenants.c.tenant_id > bindparam("after"), tenants.c.status != "deleted")
    .order_by(tenants.c.tenant_id)
    .limit(200),
    "after",
)
_RESEAL = Statement(
    update(tenants).where(_MINE).values(sealed_contact_key=bindparam("new_sealed")), "new_sealed", "of_tenant"
)


class TenantDirectory:
    """Looks tenants up across the installation; the platform's own tenant is in no answer."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, key: str) -> Tenant | None:
        """The tenant with this key."""
        row = await self._reader.fetch_one(_BY_KEY, key)
        return None if row is None else Tenant(*row)

    async def find_with_deleted(self, key: str) -> Tenant | None:
        """The tenant that has or had this key."""
        row = await self._reader.fetch_one(_WITH_DELETED, key)
        return None if row is None else Tenant(*row)

    async def find_contact_key(self, key: str) -> tuple[str, bytes] | None:
        """Tenant id and the sealed key of its contacts' HMACs."""
        row = await self._reader.fetch_one(_CONTACT_KEY, key)
        return None if row is None else (str(row[0]), bytes(row[1]))

    async def list_all(self) -> list[Tenant]:
        """All tenants by key."""
        return [Tenant(*row) for row in await self._reader.fetch(_ALL)]

    async def has_platform(self) -> bool:
        """Whether the platform's own tenant has its row."""
        return await self._reader.fetch_one(_PLATFORM) is not None

    async def list_sealed(self, after: str) -> list[tuple[str, bytes]]:
        """The next few (tenant id, sealed contact key), the platform's too; a deleted tenant has none."""
        return [(tenant_id, bytes(sealed)) for tenant_id, sealed in await self._reader.fetch(_SEALED, after)]


class TenantStore:
    """Changes one tenant's row."""

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def insert(self, tenant: Tenant, sealed_contact_key: bytes) -> None:
        """Add the row. Raises DuplicateRowError when the key is taken, or was once."""
        await self._tx.insert_rows(tenants, [tenant_row(tenant, sealed_contact_key)])

    async def update(self, name: str, token_quota: str | None, api_quota: str | None) -> None:
        """Write what can change of a tenant."""
        await self._tx.execute(_UPDATE, name, token_quota, api_quota, self._tenant_id)

    async def delete(self) -> None:
        """Final: the key stays taken."""
        await self._tx.execute(_DELETE, self._tenant_id)

    async def set_status(self, status: str) -> None:
        """`active` or `suspended`."""
        await self._tx.execute(_SET_STATUS, status, self._tenant_id)

    async def reseal(self, sealed_contact_key: bytes) -> None:
        """The same contact key, sealed under another master key."""
        await self._tx.execute(_RESEAL, sealed_contact_key, self._tenant_id)


def tenant_row(tenant: Tenant, sealed_contact_key: bytes) -> tuple[object, ...]:
    """A whole row in the table's column order."""
    return (
        tenant.tenant_id, tenant.tenant, tenant.name, tenant.status, tenant.token_quota, tenant.api_quota,
        sealed_contact_key, tenant.created_at,
    )  # fmt: skip
