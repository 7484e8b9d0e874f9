"""Checkpoints: records in this process's chain that say where the other chains stand.

A chain that vanishes whole, head and all, is missed by the checkpoints that saw it. A checkpoint names only the chains
that moved since this process's last one: what those hold in turn (their own checkpoints among it) their links cover.
So checkpoints stay small although every command that changes something is a chain of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from omnilab.audit.model.record import CHECKPOINT_ENDPOINT, AuditRecord, encode
from omnilab.audit.store.chains import Chains, MovedChain
from omnilab.audit.store.sink import CHECKPOINT, AuditSink
from omnilab.clock import Clock
from omnilab.storage.database import Database
from omnilab.storage.tables import PLATFORM_TENANT

INTERVAL_SECONDS = 10.0
# Chains that moved so long before the last look are looked at again: clocks of two machines differ, and a head carries
# the time before its commit, not after.
_SLACK_MS = 60_000


class Checkpoints:
    """What this process has seen of the other chains."""

    def __init__(self, db: Database, sink: AuditSink, clock: Clock, ids: Callable[[], str]) -> None:
        self._db = db
        self._sink = sink
        self._clock = clock
        self._ids = ids
        self._chains = Chains(db)
        self._since: int | None = None
        self._seen: dict[str, int] = {}
        self._own_seen = 0

    async def write(self) -> bool:
        """Write a checkpoint if any chain took a record since the last one. Raises UnavailableError."""
        own = self._sink.chain_id or ""
        if self._since is None:
            # Whoever moved last before us stands for all before: it or an overlapping process has seen them.
            self._since = await self._chains.newest_other_head_at(own) - _SLACK_MS
        looked_at, own_head_at = self._clock.now_ms(), self._sink.head_at
        found = await self._chains.list_moved(self._since, own)
        moved = [chain for chain in found if self._seen.get(chain.chain_id) != chain.head_at]
        if not moved and own_head_at == self._own_seen:
            return False
        record = self._record(looked_at, moved)
        await self._db.append(self._sink, (PLATFORM_TENANT, record.request_id, CHECKPOINT, encode(record)))
        self._since = looked_at - _SLACK_MS
        self._own_seen = own_head_at
        self._seen = {chain.chain_id: chain.head_at for chain in found}
        return True

    def _record(self, now_ms: int, moved: Sequence[MovedChain]) -> AuditRecord:
        return AuditRecord(
            request_id=self._ids(),
            occurred_at=now_ms,
            tenant_id=PLATFORM_TENANT,
            endpoint=CHECKPOINT_ENDPOINT,
            outcome="granted",
            details={chain.chain_id: f"{chain.position}:{chain.link.hex()}" for chain in moved},
        )
