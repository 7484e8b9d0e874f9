"""The verbs of the audit: record a decision, find it again, explain refusals, prove that nothing was tampered with.

Promises that a record handed to `record` or `record_in` is durable once the commit it waits for is, and that one
handed to `record_later` is durable within a second or refused. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from omnilab.audit.model import AuditRecord
from omnilab.clock import Clock
from omnilab.storage.database import Database, Transaction


class AuditService:
    """The audit of one process. `start` before serving, `close` before the database is closed."""

    def __init__(self, db: Database, clock: Clock, ids: Callable[[], str], chain_key: bytes) -> None: ...

    async def start(self) -> None:
        """Begin to flush and to write checkpoints. Not needed by a command that runs once."""

    async def close(self) -> None:
        """Flush what waits and write a last checkpoint. Call it before the database is closed."""

    def record(self, record: AuditRecord) -> asyncio.Future[None]:
        """Record in the next group commit. Await the future before answering; raises UnavailableError."""
        raise NotImplementedError

    def record_encoded(self, tenant_id: str, request_id: str, body: bytes) -> asyncio.Future[None]:
        """As `record`, for a body that is `model.encode` of a record already, and holds no quoted value."""
        raise NotImplementedError

    def record_later(self, record: AuditRecord) -> None:
        """Record within a second. Raises UnavailableError when the buffer is full: then do not answer 200."""

    def record_in(self, tx: Transaction, record: AuditRecord) -> None:
        """Record in the transaction of the change itself."""

    def record_flood(self, *, address: str, claimed_client_id: str | None, count: int, first_at: int) -> None:
        """One summary for `count` failed authentications that were not recorded one by one since `first_at` (ms)."""
