"""Retention: old records go, the chain stays checkable.

Promises that only the beginning of a chain is ever let go of, that each record was checked against the chain before it
went (evidence of tampering is kept, and named), and that cut and removal are one transaction. Memory is constant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from omnilab.audit.model.chain import ChainKey
from omnilab.audit.model.record import request_time
from omnilab.audit.model.walk import ChainWalk, Cut
from omnilab.audit.store.chains import ChainedRow, Chains
from omnilab.audit.store.retention import cut_chain
from omnilab.clock import Clock
from omnilab.errors import ProvisioningError
from omnilab.storage.database import Database, Transaction


@dataclass(slots=True)
class Retained:
    """What a run did."""

    removed: int = 0
    chains_cut: int = 0


class Retention:
    """Cuts chains."""

    def __init__(self, db: Database, key: ChainKey, clock: Clock) -> None:
        self._db = db
        self._key = key
        self._clock = clock

    async def run(self, before_ms: int, *, advance: Callable[[int], None] = lambda _: None) -> Retained:
        """Let go of what was recorded before this time (ms since 1970 UTC).

        Raises ProvisioningError `audit_tampered` at a record that does not fit its chain; what went before is gone.
        """
        result = Retained()
        for head in await Chains(self._db).list_heads():
            cut = 0
            while True:
                now_ms, chain = self._clock.now_ms(), (head.chain_id, head.started_at)
                removed = await self._db.write(partial(self._cut, chain=chain, before_ms=before_ms, now_ms=now_ms))
                if not removed:
                    break
                cut += removed
                advance(removed)
            result.removed += cut
            result.chains_cut += cut > 0
        return result

    async def _cut(self, tx: Transaction, *, chain: tuple[str, int], before_ms: int, now_ms: int) -> int:
        """One page of one chain; others write between two pages."""
        chain_id, started_at = chain
        chains = Chains(tx)
        walk = ChainWalk(self._key, chain_id, started_at, await chains.find_cut(chain_id))
        old = _oldest(await chains.list_rows(chain_id, walk.position + 1), before_ms)
        if not old:
            return 0
        walk.feed(old)
        if walk.findings:
            finding = walk.findings[0]
            raise ProvisioningError(
                "audit_tampered",
                f"Record {finding.position} of chain {chain_id} does not fit its chain, so it is kept: it is evidence. "
                "Run omnilab audit verify.",
            )
        last = old[-1]
        assert isinstance(last.link, bytes)
        seal = self._key.seal_cut(chain_id, last.position, last.link)
        return await cut_chain(tx, chain_id, Cut(last.position, last.link, seal), now_ms)


def _oldest(rows: list[ChainedRow], before_ms: int) -> list[ChainedRow]:
    """The rows at the beginning that are older than this. One without a readable time is not old."""
    for number, row in enumerate(rows):
        at = request_time(str(row.request_id))
        if at is None or at >= before_ms:
            return rows[:number]
    return rows
