"""Hand-off links. Looked up by their id alone, for whoever opens one names no tenant; changed in their tenant."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.model.hand_off import HandOff
from omnilab.tenancy.tables import hand_offs

_COLUMNS = hand_offs.c
_FIND = Statement(select(hand_offs).where(_COLUMNS.hand_off_id == bindparam("wanted")), "wanted")
_OPEN = Statement(
    update(hand_offs)
    .where(
        _COLUMNS.tenant_id == bindparam("of_tenant"),
        _COLUMNS.hand_off_id == bindparam("wanted"),
        _COLUMNS.opened_at.is_(None),
    )
    .values(opened_at=bindparam("now_ms"), secret_id=bindparam("made")),
    "now_ms",
    "made",
    "of_tenant",
    "wanted",
)
_END_ALL = Statement(
    update(hand_offs).where(_COLUMNS.opened_at.is_(None)).values(opened_at=bindparam("now_ms")), "now_ms"
)
_PRUNE = Statement(delete(hand_offs).where(_COLUMNS.expires_at < bindparam("before")), "before")


async def find_hand_off(reader: Reader, hand_off_id: str) -> HandOff | None:
    """The link with this id, whosever it is."""
    row = await reader.fetch_one(_FIND, hand_off_id)
    return None if row is None else HandOff(*row)


async def end_all_hand_offs(tx: Transaction, now_ms: int) -> int:
    """End every link that has not been opened, across tenants: for operators' doors only. Returns how many."""
    return await tx.execute(_END_ALL, now_ms)


async def prune_hand_offs(tx: Transaction, before_ms: int) -> int:
    """Forget links that ended before a time. Returns how many."""
    return await tx.execute(_PRUNE, before_ms)


class HandOffStore:
    """Changes one tenant's links."""

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def insert(self, made: HandOff) -> None:
        """Add a link."""
        row = (
            self._tenant_id, made.hand_off_id, made.client_id, made.claim_digest, made.label,
            made.secret_lifetime_seconds, made.created_at, made.expires_at, made.opened_at, made.secret_id,
        )  # fmt: skip
        await self._tx.insert_rows(hand_offs, [row])

    async def open(self, hand_off_id: str, secret_id: str, now_ms: int) -> bool:
        """End a link for the secret that was made; False where it had ended before."""
        return await self._tx.execute(_OPEN, now_ms, secret_id, self._tenant_id, hand_off_id) == 1
