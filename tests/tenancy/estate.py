"""Tenancy over a real SQLite database, with a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from omnilab.audit.model import Actor, AuditRecord, decode
from omnilab.audit.service import AuditService
from omnilab.audit.tables import audit_records
from omnilab.crypto.client_secret import secret_digest
from omnilab.crypto.random import RequestIds
from omnilab.crypto.sealing import MasterKey
from omnilab.errors import ProvisioningError
from omnilab.storage.changes import ChangeFeed
from omnilab.storage.statement import Statement
from omnilab.tenancy.model.orders import NewClient, NewTenant
from omnilab.tenancy.model.place import Place
from omnilab.tenancy.new_addresses import NewAddresses
from omnilab.tenancy.secret_use import SecretUse
from omnilab.tenancy.service import TenancyService
from omnilab.tenancy.service.documents import IssuedClient
from omnilab.tenancy.snapshot import ClientEntry, Snapshot
from tests.harness.databases import database_at, made_at

T = TypeVar("T")
ACTOR = Actor(os_user="ada", host="console-1", operator="ada@omnilab.example", ticket="CS-1")
PEPPER = b"p" * 32
NOON = 1_900_000_000_000
_RECORDS = Statement(audit_records.select().with_only_columns(audit_records.c.body))


class StillClock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.ms = NOON
        self.seconds = 1000.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.seconds


class Estate:
    """One installation: the verbs of tenancy, and a process that follows the feed."""

    def __init__(self, path: Path, place: Place, *, max_clients: int) -> None:
        self.path = path
        self.db = database_at(path)
        self.clock = StillClock()
        ids = RequestIds(self.clock)
        self.audit = AuditService(self.db, self.clock, ids, b"c" * 32)
        self.place = place
        keys = (MasterKey(b"k" * 32), PEPPER)
        self.tenancy = TenancyService(self.db, clock=self.clock, ids=ids, audit=self.audit, place=self.place, keys=keys)
        self.use = SecretUse(self.db, self.audit, NewAddresses(self.db, ids))
        self.snapshot = Snapshot(self.db, open_contact_key=self.tenancy.open_contact_key, max_clients=max_clients)
        self.feed = ChangeFeed(self.db, self.clock, apply=self.snapshot.apply, apply_all=self.snapshot.apply_all)
        self.snapshot.follow(self.feed)

    async def tenant(self, key: str = "acme", **given: Any) -> dict[str, Any]:
        return await self.tenancy.tenants.create(NewTenant(tenant=key, name=key.title(), **given), actor=ACTOR)

    async def client(
        self, tenant: str = "acme", allow: Iterable[str] = ("bookings:read",), **given: Any
    ) -> IssuedClient:
        order = NewClient(tenant=tenant, name="Backend", allow=tuple(allow), **given)
        return await self.tenancy.clients.create(order, actor=ACTOR)

    async def seen(self, client_id: str) -> ClientEntry:
        """The client as the process sees it once the feed has brought everything."""
        await self.feed.catch_up()
        entry = await self.snapshot.find_client(client_id)
        assert entry is not None
        return entry

    def db_holds(self, text: str) -> bool:
        """Whether the text stands anywhere in the database's files."""
        files = self.path.parent.glob(self.path.name + "*")
        return any(text.encode() in file.read_bytes() for file in files)

    async def records(self, endpoint: str) -> list[AuditRecord]:
        found = [decode(row[0]) for row in await self.db.fetch(_RECORDS)]
        return [record for record in found if record.endpoint == endpoint]


def digest_of(made: IssuedClient) -> bytes:
    return secret_digest(PEPPER, made.client.client_id, made.issued.client_secret.reveal())


def tell(
    path: Path,
    story: Callable[[Estate], Awaitable[T]],
    *,
    environment: str = "development",
    domain: str | None = None,
    max_clients: int = 1000,
    secret_max_age_seconds: int | None = None,
) -> T:
    """Run a story in a fresh installation in a directory."""
    file = path / "omnilab.db"
    made_at(file)

    async def run() -> T:
        place = Place(
            environment=environment,
            issuer="https://m2m.example",
            tenant_domain=domain,
            secret_max_age_seconds=secret_max_age_seconds,
        )
        estate = Estate(file, place, max_clients=max_clients)
        await estate.db.start()
        try:
            return await story(estate)
        finally:
            await estate.audit.close()
            await estate.db.close()

    return asyncio.run(run())


async def refused(code: str, attempt: Awaitable[object]) -> str:
    """The words of a refusal, which must have this code."""
    with pytest.raises(ProvisioningError) as caught:
        await attempt
    assert caught.value.code == code, (caught.value.code, caught.value.detail)
    return caught.value.detail
