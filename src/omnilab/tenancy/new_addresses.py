"""The tripwire of addresses: a client's secret was used from where none of its secrets ever was.

The first addresses of a client are no news. Asked once for each secret and address a process meets, beside the write of
the uses, so the way of a token costs nothing. What two processes meet at once, each may tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from omnilab.audit.model import AuditRecord
from omnilab.audit.model.events import SECRET_NEW_ADDRESS
from omnilab.storage.database import Reader
from omnilab.tenancy.store.secret_addresses import (
    LOOKED_UP,
    AddressUse,
    find_acquaintance,
    list_of_used_clients,
    list_recorded,
)

_REMEMBERED = 200_000  # one address for each client that a snapshot holds at most; about 150 bytes each


class NewAddresses:
    """What this process has met. `ids` makes request ids."""

    def __init__(self, reader: Reader, ids: Callable[[], str], *, remembered: int = _REMEMBERED) -> None:
        self._reader = reader
        self._ids = ids
        self._remembered = remembered
        self._met: set[tuple[str, str, str]] = set()

    async def records(self, uses: Sequence[AddressUse]) -> list[AuditRecord]:
        """The events among these uses, which are not written yet. Raises UnavailableError."""
        found = []
        unmet = [use for use in uses if use[:3] not in self._met]
        for start in range(0, len(unmet), LOOKED_UP):
            group = unmet[start : start + LOOKED_UP]
            recorded = await list_recorded(self._reader, [use[:3] for use in group])
            new = [use for use in group if use[:3] not in recorded]
            # The first addresses of a client are no news: a thousand new clients are not asked about one by one.
            used = await list_of_used_clients(self._reader, [use[:2] for use in new]) if new else ()
            for use in new:
                if use[:2] in used and (record := await self._record(use)) is not None:
                    found.append(record)
            await asyncio.sleep(0)  # after a start there may be thousands: let requests pass
        return found

    def met(self, uses: Sequence[AddressUse]) -> None:
        """These are written: they are news no more."""
        if len(self._met) + len(uses) > self._remembered:
            self._met.clear()  # they are asked for again, and are known by then
        self._met.update(use[:3] for use in uses)

    async def _record(self, use: AddressUse) -> AuditRecord | None:
        tenant_id, secret_id, address, _, _, last_used_at = use
        known = await find_acquaintance(self._reader, tenant_id, secret_id, address)
        if known is None or known.familiar:
            return None
        return AuditRecord(
            request_id=self._ids(),
            occurred_at=last_used_at,
            tenant_id=tenant_id,
            endpoint="secrets:new-address",
            outcome="granted",
            tenant=known.tenant,
            client_id=known.client_id,
            secret_id=secret_id,
            address=address,
            details=SECRET_NEW_ADDRESS.marks,
        )
