"""Tenants, audiences, clients and secrets as they are stored. Times are milliseconds since 1970 UTC."""

from __future__ import annotations

from dataclasses import dataclass

BOOKING_ENDPOINTS = ("bookings:cancel", "bookings:create", "bookings:read")
ENTITLED_FROM_THE_START = ("bookings:cancel", "bookings:read")
DEFAULT_ALGORITHM = "ES256"
DEFAULT_LIFETIME_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer account. `tenant` is its key."""

    tenant_id: str
    tenant: str
    name: str
    status: str  # active | suspended
    token_quota: str | None
    api_quota: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Audience:
    """An API of one tenant that tokens are issued for."""

    audience: str
    algorithm: str
    lifetime_seconds: int
    endpoints: tuple[str, ...]
    is_default: bool
    created_at: int


@dataclass(frozen=True, slots=True)
class Client:
    """A caller of one tenant."""

    tenant_id: str
    tenant: str  # the tenant's key
    client_id: str
    name: str
    status: str  # active | disabled
    audiences: tuple[str, ...]
    partner: str | None
    technical_contact: str | None
    token_quota: str | None
    api_quota: str | None
    created_at: int
    token_addresses: str | None = None  # networks, space-separated; None = any address
    api_addresses: str | None = None
    grants: tuple[str, ...] = ()
    entitlements: frozenset[str] = frozenset()  # the tenant's

    @property
    def allowed(self) -> list[str]:
        """The rights that count: granted and entitled."""
        return [endpoint for endpoint in self.grants if endpoint in self.entitlements]


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What is known of a credential; never its text."""

    secret_id: str
    label: str | None
    legacy: bool
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    exposed_at: int | None
    use_count: int = 0
    last_used_at: int | None = None
    last_address: str | None = None
    overlap_seconds: int | None = None


def secret_status(*, expires_at: int | None, revoked_at: int | None, now_ms: int) -> str:
    """`revoked`, `expired` or `live`. At the very millisecond of its expiry a secret is expired."""
    if revoked_at is not None:
        return "revoked"
    return "expired" if expires_at is not None and expires_at <= now_ms else "live"
