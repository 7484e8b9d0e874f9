"""Counts how often each credential is used, without a write per token.

Uses are added up in memory and written every two seconds, some hundred at a time; a process that is killed loses at
most those two seconds of counts. What a token was issued on stands in its audit record regardless.
"""

from __future__ import annotations

import asyncio

from omnilab.audit.model import AuditRecord
from omnilab.errors import UnavailableError
from omnilab.storage.database import Database, Transaction
from omnilab.tenancy.model.networks import counted_address
from omnilab.tenancy.new_addresses import NewAddresses
from omnilab.tenancy.service.means import Recorder
from omnilab.tenancy.store.secret_addresses import AddressUse, add_addresses, prune_addresses
from omnilab.tenancy.store.secrets import add_uses

FLUSH_SECONDS = 2.0
# So many at most in one commit: at some 6 µs a use, tokens that wait for the same commit wait 3 ms longer.
USES_AT_ONCE = 500

_Key = tuple[str, str, str]  # tenant id, secret id, address as it came
_News = tuple[str, str | None, str | None]  # the same with the address as it counts


class SecretUse:
    """The counter of one process. Belongs to the event loop's thread."""

    def __init__(self, db: Database, audit: Recorder, news: NewAddresses) -> None:
        self._db = db
        self._audit = audit
        self._news = news
        self._uses: dict[_Key, tuple[int, int]] = {}

    def used(self, tenant_id: str, secret_id: str, at_ms: int, address: str) -> None:
        """A credential was used at this time (ms since 1970) from this address."""
        key = (tenant_id, secret_id, address)
        known = self._uses.get(key)
        self._uses[key] = (1 if known is None else known[0] + 1, at_ms)

    async def flush(self) -> None:
        """Write what was counted so far. Raises UnavailableError and keeps what was not written when that fails."""
        uses, self._uses = self._uses, {}
        waiting = sorted(uses)  # neighbouring rows share pages
        try:
            news = {
                (each.tenant_id, each.secret_id, each.address): each
                for each in await self._news.records(_addresses(uses))
            }
            while waiting:
                await self._write({key: uses[key] for key in waiting[:USES_AT_ONCE]}, news)
                del waiting[:USES_AT_ONCE]
        except UnavailableError:
            self._keep({key: uses[key] for key in waiting})
            raise

    async def _write(self, uses: dict[_Key, tuple[int, int]], news: dict[_News, AuditRecord]) -> None:
        totals, addresses = _totals(uses), _addresses(uses)
        told = [use[:3] for use in addresses if use[:3] in news]

        async def unit(tx: Transaction) -> None:
            await add_uses(tx, totals)
            await add_addresses(tx, addresses)
            for each in told:
                self._audit.record_in(tx, news[each])

        await self._db.write(unit)
        self._news.met(addresses)
        for each in told:
            del news[each]  # a second address of the same network may follow

    async def prune(self) -> None:
        """Keep the table of addresses bounded, whoever has a right secret and many addresses."""
        await self._db.write(prune_addresses)

    async def run(self) -> None:
        """Flush every two seconds until cancelled; what cannot be written is tried again."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except UnavailableError:
                continue

    def _keep(self, uses: dict[_Key, tuple[int, int]]) -> None:
        for key, (count, at_ms) in uses.items():
            later = self._uses.get(key)
            self._uses[key] = (count, at_ms) if later is None else (count + later[0], later[1])


def _totals(uses: dict[_Key, tuple[int, int]]) -> list[tuple[str, str, int, int, str]]:
    """(tenant id, secret id, uses, last used at, last address)."""
    totals: dict[tuple[str, str], tuple[int, int, str]] = {}
    for (tenant_id, secret_id, address), (count, at_ms) in uses.items():
        before, latest, last_address = totals.get((tenant_id, secret_id), (0, -1, ""))
        newer = (at_ms, address) if at_ms >= latest else (latest, last_address)
        totals[tenant_id, secret_id] = (before + count, *newer)
    return [(*key, *totals[key]) for key in sorted(totals)]


def _addresses(uses: dict[_Key, tuple[int, int]]) -> list[AddressUse]:
    """The same for each address that counts by itself."""
    counted: dict[_Key, tuple[int, int]] = {}
    for (tenant_id, secret_id, address), (count, at_ms) in uses.items():
        key = (tenant_id, secret_id, counted_address(address))
        before, latest = counted.get(key, (0, 0))
        counted[key] = (before + count, max(latest, at_ms))
    return [(*key, counted[key][0], counted[key][1], counted[key][1]) for key in sorted(counted)]
