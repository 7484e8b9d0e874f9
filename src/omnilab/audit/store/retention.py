"""Letting go of the oldest records of one chain, and marking where."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete

from omnilab.audit.model.walk import Cut
from omnilab.audit.tables import audit_cuts, audit_records
from omnilab.storage.database import Transaction
from omnilab.storage.statement import Statement

_REMOVE = Statement(
    delete(audit_records).where(
        audit_records.c.chain_id == bindparam("wanted"), audit_records.c.chain_position <= bindparam("until")
    ),
    "wanted",
    "until",
)
_MOVE_ON = (
    "ON CONFLICT (chain_id) DO UPDATE SET position = excluded.position, link = excluded.link, seal = excluded.seal,"
    " cut_at = excluded.cut_at"
)


async def cut_chain(tx: Transaction, chain_id: str, cut: Cut, now_ms: int) -> int:
    """Remove the chain's records up to the cut and write the cut down. Returns how many were removed."""
    removed = await tx.execute(_REMOVE, chain_id, cut.position)
    await mark_cuts(tx, [(chain_id, cut)], now_ms)
    return removed


async def mark_cuts(tx: Transaction, cuts: Sequence[tuple[str, Cut]], now_ms: int) -> None:
    """Write down where chains are cut, in place of earlier cuts. `now_ms`: milliseconds since 1970 UTC."""
    rows = [(chain_id, cut.position, cut.link, cut.seal, now_ms) for chain_id, cut in cuts]
    await tx.insert_rows(audit_cuts, rows, suffix=_MOVE_ON)
