"""The endpoints a client may call."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.tables import grants

_MINE = (grants.c.tenant_id == bindparam("of_tenant"), grants.c.client_id == bindparam("of_client"))
_LIST = Statement(
    select(grants.c.endpoint, grants.c.created_at).where(*_MINE).order_by(grants.c.endpoint), "of_tenant", "of_client"
)
_REMOVE = Statement(
    delete(grants).where(*_MINE, grants.c.endpoint == bindparam("wanted")), "of_tenant", "of_client", "wanted"
)


class GrantReader:
    """Reads endpoint grants of one tenant's clients."""

    def __init__(self, reader: Reader, tenant_id: str) -> None:
        self._reader = reader
        self._tenant_id = tenant_id

    async def list_all(self, client_id: str) -> dict[str, int]:
        """Endpoint names and when each was granted (ms), by name."""
        return {str(row[0]): int(row[1]) for row in await self._reader.fetch(_LIST, self._tenant_id, client_id)}


class GrantStore(GrantReader):
    """Changes endpoint grants of one tenant's clients."""

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        super().__init__(tx, tenant_id)
        self._tx = tx

    async def add(self, client_id: str, endpoints: Sequence[str], now_ms: int) -> list[str]:
        """Grant these endpoints; returns those that were not granted before."""
        known = await self.list_all(client_id)
        fresh = sorted(set(endpoints) - known.keys())
        await self._tx.insert_rows(grants, [(self._tenant_id, client_id, endpoint, now_ms) for endpoint in fresh])
        return fresh

    async def remove(self, client_id: str, endpoints: Sequence[str]) -> list[str]:
        """Withdraw these endpoints; returns those that were granted before."""
        wanted = sorted(set(endpoints))
        return [each for each in wanted if await self._tx.execute(_REMOVE, self._tenant_id, client_id, each)]
