"""The compact, immutable picture of a tenant and its clients that decisions are made from.

An entry is replaced whole when something changes and never altered, so a reader that holds one sees it old or new
but never half. `memo` is the one exception: a free slot for what another house derives from the entry, gone with the
entry. Nothing here knows the database, the clock or the feed.
"""

from __future__ import annotations

from omnilab.tenancy.model.networks import Network


class AudienceEntry:
    """An API that tokens are issued for."""

    __slots__ = ("algorithm", "audience", "endpoints", "lifetime_seconds")

    def __init__(self, audience: str, *, algorithm: str, lifetime_seconds: int, endpoints: frozenset[str]) -> None:
        self.audience = audience
        self.algorithm = algorithm
        self.lifetime_seconds = lifetime_seconds
        self.endpoints = endpoints


class TenantEntry:
    """A customer account: whether it is active, and what it may be granted at most."""

    __slots__ = (
        "active", "api_quota", "audiences", "contact_key", "entitlements", "memo", "name", "tenant", "tenant_id",
        "token_quota",
    )  # fmt: skip

    tenant_id: str
    tenant: str  # the key, a DNS label
    name: str
    active: bool
    entitlements: frozenset[str]
    token_quota: str | None  # "600/minute"; None = the environment's default
    api_quota: str | None
    contact_key: bytes  # HMAC key for external_id in audit records
    audiences: dict[str, AudienceEntry]  # by URI
    memo: dict[object, object]


class SecretEntry:
    """One credential of a client. Times are milliseconds since 1970 UTC."""

    __slots__ = ("created_at", "digest", "expires_at", "exposed_at", "label", "legacy", "revoked_at", "secret_id")

    secret_id: str
    label: str | None
    digest: bytes
    legacy: bool
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    exposed_at: int | None


class ClientEntry:
    """A caller: its tenant, its audiences, its live rights and its credentials."""

    __slots__ = (
        "active", "allowed", "api_networks", "api_quota", "audiences", "client_id", "grants", "memo", "name", "secrets",
        "tenant", "token_networks", "token_quota",
    )  # fmt: skip

    client_id: str
    name: str
    active: bool
    tenant: TenantEntry
    audiences: dict[str, AudienceEntry]  # by URI: those of the tenant's that this client may ask tokens for
    grants: frozenset[str]
    allowed: frozenset[str]  # grants ∩ the tenant's entitlements
    secrets: tuple[SecretEntry, ...]  # all of them, revoked and expired ones too: their holder is told which and when
    token_quota: str | None
    api_quota: str | None
    token_networks: tuple[Network, ...] | None  # from where it may ask for tokens; None = from anywhere
    api_networks: tuple[Network, ...] | None  # from where it may call
    memo: dict[object, object]

    def secret(self, secret_id: str) -> SecretEntry | None:
        """The credential with this id, in whatever state."""
        for secret in self.secrets:
            if secret.secret_id == secret_id:
                return secret
        return None

    def secret_by_digest(self, digest: bytes) -> SecretEntry | None:
        """The credential with this digest. Digests are keyed hashes, so plain comparison tells a stranger nothing."""
        for secret in self.secrets:
            if secret.digest == digest:
                return secret
        return None

    def has_live_secret(self, secret_id: str) -> bool:
        """Whether tokens issued on this credential still count: it is not revoked. Expiry stops issuing only."""
        for secret in self.secrets:
            if secret.secret_id == secret_id:
                return secret.revoked_at is None
        return False

    def under(self, tenant: TenantEntry) -> ClientEntry:
        """The same client under a newer picture of its tenant; memo starts empty."""
        return bind_client(self, tenant)


def bind_client(parts: ClientEntry, tenant: TenantEntry) -> ClientEntry:
    """A new entry from the client's own parts, with everything that depends on the tenant worked out again."""
    entry = ClientEntry()
    entry.client_id = parts.client_id
    entry.name = parts.name
    entry.active = parts.active
    entry.tenant = tenant
    entry.audiences = pick_audiences(tenant, parts.audiences)
    entry.grants = parts.grants
    entry.allowed = allowed_of(parts.grants, tenant)
    entry.secrets = parts.secrets
    entry.token_quota = parts.token_quota
    entry.api_quota = parts.api_quota
    entry.token_networks = parts.token_networks
    entry.api_networks = parts.api_networks
    entry.memo = {}
    return entry


def pick_audiences(tenant: TenantEntry, wanted: dict[str, AudienceEntry] | list[str]) -> dict[str, AudienceEntry]:
    """The tenant's audiences of these names; the tenant's own mapping is shared where it is all of them."""
    if len(wanted) == len(tenant.audiences) and all(uri in tenant.audiences for uri in wanted):
        return tenant.audiences
    return {uri: tenant.audiences[uri] for uri in wanted if uri in tenant.audiences}


def allowed_of(grants: frozenset[str], tenant: TenantEntry) -> frozenset[str]:
    """The rights that count: granted and entitled. Shares one set where nothing is cut."""
    return grants if grants <= tenant.entitlements else grants & tenant.entitlements
