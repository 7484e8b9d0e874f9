"""A whole platform in this process, served to httpx without a socket, with a clock that stands still until moved."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from omnilab.app import Platform, create_app, open_platform
from omnilab.audit.model import Actor
from omnilab.crypto.sealing import new_master_key_text
from omnilab.crypto.secret import Secret
from omnilab.installation import initialise
from omnilab.settings import Settings
from omnilab.tenancy.model.orders import NewClient, NewTenant

ACTOR = Actor(os_user="tester", host="here")
MASTER_KEY = Secret(new_master_key_text())
ISSUER = "https://id.example"
TOKEN = "/v1/oauth:token"


class StandingClock:
    """Moves only when told. The lease of the change feed never runs out: tests call `Running.settle`."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return 1000.0

    def forward(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Running:
    """One platform and its callers."""

    def __init__(self, platform: Platform, clock: StandingClock) -> None:
        self.platform = platform
        self.clock = clock
        app, _ = create_app(platform)
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 40000))
        self.http = httpx.AsyncClient(transport=transport, base_url=ISSUER)
        self.clients: dict[str, dict[str, Any]] = {}

    async def settle(self) -> None:
        """Have this process learn of what was just provisioned."""
        await self.platform.feed.catch_up()

    async def add_client(self, tenant: str, **order: Any) -> dict[str, Any]:
        """A client of a tenant (made where missing); the contract's object with its secret."""
        tenancy = self.platform.tenancy
        if all(each["tenant"] != tenant for each in await tenancy.tenants.list_all()):
            await tenancy.tenants.create(NewTenant(tenant=tenant, name=tenant), actor=ACTOR)
        order = {"name": "backend", "allow": ("bookings:read", "bookings:cancel")} | order
        issued = await tenancy.clients.create(NewClient(tenant=tenant, **order), actor=ACTOR)
        await self.settle()
        return dict(issued.document())

    async def ask(
        self, client: dict[str, Any], headers: dict[str, str] | None = None, **changes: Any
    ) -> httpx.Response:
        """A token request in JSON; a change to None leaves that parameter out."""
        body = {
            "client_id": client["client_id"],
            "client_secret": client["client_secret"],
            "audience": client["audience"],
            "grant_type": "client_credentials",
        } | changes
        sent = {name: value for name, value in body.items() if value is not None}
        return await self.http.post(TOKEN, json=sent, headers=headers)

    async def record_of(self, answer: httpx.Response) -> Any:
        """The one audit record of an answer."""
        (record,) = await self.platform.audit.find(answer.headers["x-request-id"])
        return record


def basic(user: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[Running]:
    """An installation in this folder, served; made when it is the first time."""
    chosen = {
        "environment": "staging",
        "database_url": f"sqlite:///{folder}/omnilab.db",
        "data_directory": folder,
        "master_key": MASTER_KEY,
        "public_url": ISSUER,
        "public_url_given": True,
        "docs_url": f"{ISSUER}/docs",
        "tenant_domain": "example.com",
        "access_log": False,
    } | settings
    clock = StandingClock()
    configured = Settings(**chosen)
    await initialise(configured, actor=ACTOR, clock=clock)
    platform = await open_platform(configured, clock=clock)
    try:
        await platform.start_serving()
        it = Running(platform, clock)
        async with it.http:
            yield it
    finally:
        await platform.close()


def play(folder: Path, story: Callable[[Running], Awaitable[None]], **settings: Any) -> None:
    """Run one story on a platform of its own."""

    async def run() -> None:
        async with running(folder, **settings) as it:
            await story(it)

    asyncio.run(run())
