"""Retention: old records go, the chain stays checkable.

Promises that only the beginning of a chain is ever let go of, that evidence of tampering is kept and named, and that
cut and removal are one transaction. Memory is constant. On SQLite each record is checked against its chain before it
goes. On PostgreSQL whole months go at once, in a time that does not depend on how many records they hold; so there the
ends are checked: what stays must be the continuation of what goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from omnilab.audit.model.chain import ChainKey, key_text
from omnilab.audit.model.record import request_time
from omnilab.audit.model.walk import ChainWalk, Cut
from omnilab.audit.store.chains import ChainedRow, Chains
from omnilab.audit.store.months import (
    OldChain,
    Partition,
    drop,
    find_link,
    list_old_chains,
    list_partitions,
    make_months,
)
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
        if self._db.dialect == "postgresql":
            return await self._drop_months(before_ms)
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
            raise _tampered(walk.findings[0].position, chain_id)
        last = old[-1]
        assert isinstance(last.link, bytes)
        seal = self._key.seal_cut(chain_id, last.position, last.link)
        return await cut_chain(tx, chain_id, Cut(last.position, last.link, seal), now_ms)

    async def prepare(self) -> list[str]:
        """On PostgreSQL make the tables of the months to come. Returns their names."""
        if self._db.dialect != "postgresql":
            return []
        return await self._db.write(lambda tx: make_months(tx, self._clock.now_ms()))

    async def _drop_months(self, before_ms: int) -> Retained:
        result = Retained()
        for partition in await list_partitions(self._db):
            if partition.end_ms is not None and partition.end_ms <= before_ms:
                removed, chains = await self._db.write(partial(self._drop_month, partition=partition))
                result.removed += removed
                result.chains_cut += chains
        return result

    async def _drop_month(self, tx: Transaction, *, partition: Partition) -> tuple[int, int]:
        """Returns how many records of how many chains went."""
        removed, cuts = 0, []
        for chain in await list_old_chains(tx, partition):
            position, link = await self._cut_of(tx, chain)
            removed += position - (chain.cut_position or 0)
            cuts.append((chain.chain_id, Cut(position, link, self._key.seal_cut(chain.chain_id, position, link))))
        await drop(tx, partition, cuts, now_ms=self._clock.now_ms())
        return removed, len(cuts)

    async def _cut_of(self, tx: Transaction, chain: OldChain) -> tuple[int, bytes]:
        """Where this chain is cut: after its newest old record, or before the first one that stays, if others of the
        old ones come after it. Raises ProvisioningError where the two sides do not fit."""
        position, link = chain.newest
        kept = chain.kept
        if kept is None:
            return position, link
        if kept.position <= position:
            position = kept.position - 1
            before = chain.cut_link if chain.cut_position == position else await find_link(tx, chain.chain_id, position)
            if before is None:
                raise _tampered(kept.position, chain.chain_id)
            link = before
        columns = key_text(kept.request_id, kept.tenant_id, kept.outcome)
        if kept.position != position + 1 or kept.link != self._key.link(link, columns, kept.body):
            raise _tampered(kept.position, chain.chain_id)
        return position, link


def _tampered(position: int, chain_id: str) -> ProvisioningError:
    return ProvisioningError(
        "audit_tampered",
        f"Record {position} of chain {chain_id} does not fit its chain, so it is kept: it is evidence. "
        "Run omnilab audit verify.",
    )


def _oldest(rows: list[ChainedRow], before_ms: int) -> list[ChainedRow]:
    """The rows at the beginning that are older than this. One without a readable time is not old."""
    for number, row in enumerate(rows):
        at = request_time(str(row.request_id))
        if at is None or at >= before_ms:
            return rows[:number]
    return rows
