"""An audit of one's own over a real SQLite file, with a clock that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from omnilab.audit.model import AuditRecord
from omnilab.audit.service import AuditService
from omnilab.crypto.random import RequestIds
from omnilab.storage.database import Database, Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.tables import client_directory, tenants
from tests.harness.databases import database_at, is_made, made_at

KEY = bytes(range(32))
TENANT, OTHER = "ten_a", "ten_b"
CLIENT = "cli_" + "A" * 22
LEGACY_CLIENT = "old-system-7"
_TENANT = Statement(
    insert(tenants),
    *("tenant_id", "tenant", "name", "status", "token_quota", "api_quota", "sealed_contact_key", "created_at"),
)
_CLIENT = Statement(insert(client_directory), "client_id", "tenant_id")


class SetClock:
    """A wall clock that stands still until it is moved."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


def path_in(folder: Path) -> Path:
    return folder / "omnilab.db"


def make_database(folder: Path) -> None:
    """A database with two tenants and a few clients."""
    made_at(path_in(folder))

    async def fill(tx: Transaction) -> None:
        for tenant_id, key in (("ten_0", "-"), (TENANT, "acme"), (OTHER, "globex")):
            await tx.execute(_TENANT, tenant_id, key, key, "active", None, None, b"", 0)
        for client_id, tenant_id in ((CLIENT, TENANT), (LEGACY_CLIENT, TENANT), ("cli_" + "B" * 22, OTHER)):
            await tx.execute(_CLIENT, client_id, tenant_id)

    async def run() -> None:
        db = database_at(path_in(folder))
        await db.start()
        await db.write(fill)
        await db.close()

    asyncio.run(run())


@asynccontextmanager
async def opened(folder: Path, *, key: bytes = KEY) -> AsyncIterator[Place]:
    """One process's audit; closed as a process closes it."""
    db = database_at(path_in(folder))
    await db.start()
    place = Place(db, key)
    try:
        yield place
        await place.audit.close()
    finally:
        await db.close()


class Place:
    """The audit, its database and its clock."""

    def __init__(self, db: Database, key: bytes = KEY) -> None:
        self.clock = SetClock()
        self.db = db
        self.ids = RequestIds(self.clock)
        self.audit = AuditService(db, self.clock, self.ids, key)

    def granted(self, **changes: Any) -> AuditRecord:
        fields: dict[str, Any] = {
            "request_id": self.ids(),
            "occurred_at": self.clock.now_ms(),
            "tenant_id": TENANT,
            "endpoint": "bookings:read",
            "outcome": "granted",
            "tenant": "acme",
            "client_id": CLIENT,
            "secret_id": "sec_1",
            "address": "192.0.2.7",
        }
        return AuditRecord(**(fields | changes))

    def refused(self, code: str = "endpoint_not_enabled", check: str = "grant", **changes: Any) -> AuditRecord:
        return self.granted(**({"outcome": "refused", "code": code, "reason": code, "check": check} | changes))

    def unproven(self, code: str = "client_authentication_failed", **details: str | int) -> AuditRecord:
        return self.granted(
            tenant_id="ten_0",
            tenant=None,
            client_id=None,
            secret_id=None,
            endpoint="oauth:token",
            outcome="refused",
            code=code,
            reason=code,
            check="credential",
            details=details,
        )


def over(folder: Path, action: Callable[[Place], Awaitable[None]]) -> None:
    """Run one action over a fresh database in `folder`."""
    if not is_made(path_in(folder)):
        make_database(folder)

    async def run() -> None:
        async with opened(folder) as place:
            await action(place)

    asyncio.run(run())
