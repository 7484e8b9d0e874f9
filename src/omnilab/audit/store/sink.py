"""Appends records to this writer's chain, in commit order, inside the commit itself.

Promises that the chain in the database and the chain in memory advance together or not at all. Runs in the writer's
thread; must not know what is in a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from sqlalchemy import bindparam, update

from omnilab.audit.model.chain import ChainKey, Head, key_text
from omnilab.audit.tables import audit_chains, audit_records
from omnilab.clock import Clock
from omnilab.errors import UnavailableError
from omnilab.storage.database import DuplicateRowError, Transaction
from omnilab.storage.statement import Row, Statement

# A record on its way: tenant_id, request_id, outcome ("granted", "refused" or "checkpoint"), canonical JSON.
Entry = tuple[str, str, str, bytes]
CHECKPOINT = "checkpoint"

_ADVANCE = Statement(
    update(audit_chains)
    .where(audit_chains.c.chain_id == bindparam("wanted"))
    .values(head_position=bindparam("position"), head_at=bindparam("at"), head_seal=bindparam("seal")),
    "position",
    "at",
    "seal",
    "wanted",
)


class AuditSink:
    """The one chain of one writer. `new_chain_id` is asked when the first record comes, and again after a lost head."""

    def __init__(self, key: ChainKey, clock: Clock, new_chain_id: Callable[[], str]) -> None:
        self._key = key
        self._clock = clock
        self._new_chain_id = new_chain_id
        self.chain_id: str | None = None
        self._started_at = 0
        self._head: Head = (0, 0, b"")
        self._pending: Head | None = None

    @property
    def head_at(self) -> int:
        """When this chain last took a record that is no checkpoint (ms), 0 before its first."""
        return self._head[1]

    @property
    def is_one_statement(self) -> bool:
        return self.chain_id is not None

    async def write_batch(self, tx: Transaction, items: Sequence[Entry]) -> None:
        """Link the records to the chain and insert them; the head goes with them."""
        started = self.chain_id is not None
        if not started:
            self._begin()
        chain_id = self.chain_id
        assert chain_id is not None
        rows, head = self._linked(chain_id, items)
        seal = self._key.seal(chain_id, self._started_at, head)
        try:
            if not started:
                await tx.insert_rows(audit_chains, [(chain_id, self._started_at, head[0], head[1], seal)])
                await tx.insert_rows(audit_records, rows)
                is_there = True
            else:
                is_there = await tx.update_and_insert(_ADVANCE, (head[0], head[1], seal, chain_id), audit_records, rows)
        except DuplicateRowError as error:
            self._leave("the database holds records where this process's audit chain was to go on", error)
        if not is_there:
            # `verify` will name the lost one.
            self._leave("the head of this process's audit chain is gone from the database")
        self._pending = head

    def settled(self, committed: bool | None) -> None:
        """Advance after a commit; after a rollback stand where the database stands. Where that is not known, another
        chain begins: the records of a commit whose answer was lost are either all in the old one or none is."""
        if committed and self._pending is not None:
            self._head = self._pending
        elif committed is None or (not committed and self._head[0] == 0):
            self.chain_id = None
        self._pending = None

    def _leave(self, reason: str, cause: Exception | None = None) -> NoReturn:
        """Give this commit up; the next one begins another chain, whatever has become of this one."""
        self.chain_id = None
        raise UnavailableError(reason) from cause

    def _begin(self) -> None:
        self.chain_id = self._new_chain_id()
        self._started_at = self._clock.now_ms()
        self._head = (0, 0, self._key.origin(self.chain_id, self._started_at))

    def _linked(self, chain_id: str, items: Sequence[Entry]) -> tuple[list[Row], Head]:
        position, head_at, link = self._head
        make_link = self._key.link
        rows: list[Row] = []
        only_checkpoints = True
        for tenant_id, request_id, outcome, body in items:
            position += 1
            link = make_link(link, key_text(request_id, tenant_id, outcome), body)
            rows.append((request_id, position, tenant_id, outcome, chain_id, body.decode(), link))
            only_checkpoints = only_checkpoints and outcome == CHECKPOINT
        if not only_checkpoints:
            # Strictly later than before, so that a checkpoint can tell by the time alone that the chain moved.
            head_at = max(self._clock.now_ms(), head_at + 1)
        return rows, (position, head_at, link)
