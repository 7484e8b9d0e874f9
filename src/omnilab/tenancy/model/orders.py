"""What an operator asks for, as given. In a `…Change`, None means: leave it as it is."""

from __future__ import annotations

from dataclasses import dataclass

from omnilab.crypto.secret import Secret
from omnilab.tenancy.model.nouns import DEFAULT_ALGORITHM, DEFAULT_LIFETIME_SECONDS
from omnilab.tenancy.model.verdict import DEFAULT_OVERLAP_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTenant:
    """A tenant to be made. Quotas are texts such as `600/minute`."""

    tenant: str
    name: str
    token_quota: str | None = None
    api_quota: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantChange:
    """New values of a tenant; the quota `default` goes back to the environment's."""

    name: str | None = None
    token_quota: str | None = None
    api_quota: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAudience:
    """An audience to be made."""

    audience: str
    algorithm: str = DEFAULT_ALGORITHM
    lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceChange:
    """New values of an audience; `endpoints` replaces the whole list."""

    algorithm: str | None = None
    lifetime_seconds: int | None = None
    endpoints: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """A client to be made, with its first secret. No audience given: the tenant's default one; no addresses
    given: any will do."""

    tenant: str
    name: str
    audiences: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    partner: str | None = None
    technical_contact: str | None = None
    token_quota: str | None = None
    api_quota: str | None = None
    token_addresses: tuple[str, ...] = ()
    api_addresses: tuple[str, ...] = ()
    label: str | None = None
    expires_in_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientChange:
    """New values of a client; `audiences` and the address lists replace the whole list; the quota `default` and the
    address `any` go back to the default."""

    name: str | None = None
    audiences: tuple[str, ...] | None = None
    technical_contact: str | None = None
    token_quota: str | None = None
    api_quota: str | None = None
    token_addresses: tuple[str, ...] | None = None
    api_addresses: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyCredential:
    """A credential of an earlier system. `expires_at` is in milliseconds since 1970 UTC."""

    tenant: str
    client_id: str
    client_secret: Secret
    audience: str | None
    allowed: tuple[str, ...]
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A secret to be made beside a client's live ones, which may go once unused for `overlap_seconds`."""

    overlap_seconds: int = DEFAULT_OVERLAP_SECONDS
    label: str | None = None
    expires_in_seconds: int | None = None
