"""Ending one access token by its id, for who needs no proof of whose it is."""

from __future__ import annotations

from omnilab.storage.changes import append_change
from omnilab.storage.database import Database, Transaction
from omnilab.tokens.store import add_revoked, find_revoked


async def end_token(db: Database, whose: tuple[str, str], token_id: str, expires_at: int, *, now_ms: int) -> bool:
    """Refuse a token from now on. whose: tenant id and client id; expires_at: when it is over anyway (ms).

    Returns False where it had been ended before. Raises UnavailableError.
    """
    tenant_id, client_id = whose

    async def unit(tx: Transaction) -> bool:
        if await find_revoked(tx, tenant_id, token_id) is not None:
            return False
        await add_revoked(tx, (tenant_id, token_id, client_id, expires_at, now_ms))
        await append_change(tx, tenant_id, "token", token_id, now_ms=now_ms)
        return True

    return await db.change(unit)
