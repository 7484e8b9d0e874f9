"""The endpoints a tenant may be granted at most."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.tables import entitlements

_MINE = entitlements.c.tenant_id == bindparam("of_tenant")
_LIST = Statement(
    select(entitlements.c.endpoint, entitlements.c.created_at).where(_MINE).order_by(entitlements.c.endpoint),
    "of_tenant",
)
_REMOVE = Statement(
    delete(entitlements).where(_MINE, entitlements.c.endpoint == bindparam("wanted")), "of_tenant", "wanted"
)


class EntitlementReader:
    """Reads one tenant's entitlements."""

    def __init__(self, reader: Reader, tenant_id: str) -> None:
        self._reader = reader
        self._tenant_id = tenant_id

    async def list_all(self) -> dict[str, int]:
        """Endpoint names and when each was allowed (ms), by name."""
        return {str(row[0]): int(row[1]) for row in await self._reader.fetch(_LIST, self._tenant_id)}


class EntitlementStore(EntitlementReader):
    """Changes one tenant's entitlements."""

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        super().__init__(tx, tenant_id)
        self._tx = tx

    async def add(self, endpoints: Sequence[str], now_ms: int) -> list[str]:
        """Allow these endpoints; returns those that were not allowed before."""
        known = await self.list_all()
        fresh = sorted(set(endpoints) - known.keys())
        await self._tx.insert_rows(entitlements, [(self._tenant_id, endpoint, now_ms) for endpoint in fresh])
        return fresh

    async def remove(self, endpoints: Sequence[str]) -> list[str]:
        """Withdraw these endpoints; returns those that were allowed before."""
        return [each for each in sorted(set(endpoints)) if await self._tx.execute(_REMOVE, self._tenant_id, each)]
