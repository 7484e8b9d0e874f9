"""Counts how often each credential is used, without a write per token.

Uses are added up in memory and written every two seconds in one statement; a process that is killed loses at most
those two seconds of counts. What a token was issued on stands in its audit record regardless.
"""

from __future__ import annotations

import asyncio

from omnilab.errors import UnavailableError
from omnilab.storage.database import Database, Transaction
from omnilab.tenancy.store.secrets import add_uses

FLUSH_SECONDS = 2.0


class SecretUse:
    """The counter of one process. Belongs to the event loop's thread."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._uses: dict[tuple[str, str], tuple[int, int, str]] = {}

    def used(self, tenant_id: str, secret_id: str, at_ms: int, address: str) -> None:
        """A credential was used at this time (ms since 1970) from this address."""
        key = (tenant_id, secret_id)
        known = self._uses.get(key)
        self._uses[key] = (1 if known is None else known[0] + 1, at_ms, address)

    async def flush(self) -> None:
        """Write what was counted so far. Raises UnavailableError and keeps it when that fails."""
        uses, self._uses = self._uses, {}
        if not uses:
            return
        # Sorted by key: neighbouring rows share pages.
        rows = [(*key, *uses[key]) for key in sorted(uses)]

        async def unit(tx: Transaction) -> None:
            await add_uses(tx, rows)

        try:
            await self._db.write(unit)
        except UnavailableError:
            self._keep(uses)
            raise

    async def run(self) -> None:
        """Flush every two seconds until cancelled; what cannot be written is tried again."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except UnavailableError:
                continue

    def _keep(self, uses: dict[tuple[str, str], tuple[int, int, str]]) -> None:
        for key, (count, at_ms, address) in uses.items():
            later = self._uses.get(key)
            self._uses[key] = (count, at_ms, address) if later is None else (count + later[0], later[1], later[2])
