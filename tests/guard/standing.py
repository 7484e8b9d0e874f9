"""A fake of whoever knows how clients stand: what the snapshot is in the service."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.guard.minting import AUDIENCE


@dataclass
class FakeAudience:
    endpoints: frozenset[str] = frozenset({"bookings:read", "bookings:cancel"})


@dataclass
class FakeTenant:
    tenant_id: str = "ten_acme"
    tenant: str = "acme"
    active: bool = True
    token_quota: str | None = None
    api_quota: str | None = None


@dataclass
class FakeClient:
    client_id: str = "cli_one"
    active: bool = True
    tenant: FakeTenant = field(default_factory=FakeTenant)
    grants: frozenset[str] = frozenset({"bookings:read", "bookings:cancel"})
    allowed: frozenset[str] = frozenset({"bookings:read", "bookings:cancel"})
    audiences: dict[str, FakeAudience] = field(default_factory=lambda: {AUDIENCE: FakeAudience()})
    live: set[str] = field(default_factory=lambda: {"sec_one"})
    token_quota: str | None = None
    api_quota: str | None = None
    api_networks: None = None

    def has_live_secret(self, secret_id: str) -> bool:
        return secret_id in self.live


class FakeStandings:
    """`unheard`: clients as they stand now, of which memory hears only when it catches up."""

    def __init__(self, *clients: FakeClient) -> None:
        self.clients = {client.client_id: client for client in clients}
        self.unheard: dict[str, FakeClient] = {}
        self.error: Exception | None = None

    async def catch_up(self) -> None:
        self.clients |= self.unheard

    async def find_client(self, client_id: str) -> FakeClient | None:
        if self.error is not None:
            raise self.error
        return self.clients.get(client_id)
