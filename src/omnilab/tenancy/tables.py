"""The tables of tenants and all that belongs to them: entitlements, audiences, clients, secrets, endpoint grants."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from omnilab.storage.tables import metadata

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False, unique=True),  # the key: a DNS label, never reused
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),  # active | suspended | deleted
    Column("token_quota", Text),  # "600/minute"; NULL = the environment's default
    Column("api_quota", Text),
    Column("sealed_contact_key", LargeBinary, nullable=False),  # HMAC key for external_id in audit records
    Column("created_at", BigInteger, nullable=False),
)

entitlements = Table(
    "entitlements",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

audiences = Table(
    "audiences",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("audience", Text, primary_key=True),  # the URI
    Column("algorithm", Text, nullable=False),  # ES256 | RS256 | EdDSA
    Column("lifetime_seconds", BigInteger, nullable=False),
    Column("endpoints", Text, nullable=False),  # space-separated, sorted endpoint names that belong to this audience
    Column("is_default", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

clients = Table(
    "clients",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("client_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),  # active | disabled | deleted
    Column("audiences", Text, nullable=False),  # space-separated, sorted audience URIs
    Column("partner", Text),
    Column("technical_contact", Text),
    Column("token_quota", Text),
    Column("api_quota", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("token_addresses", Text),  # space-separated networks it may ask for tokens from; NULL = any
    Column("api_addresses", Text),  # the same for API calls
    sqlite_with_rowid=False,
)

# Reference table, one of the two named exceptions to "every query has its tenant": whose client is this?
client_directory = Table(
    "client_directory",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    sqlite_with_rowid=False,
)

secrets = Table(
    "secrets",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("client_id", Text, primary_key=True),
    Column("secret_id", Text, primary_key=True),
    Column("label", Text),
    Column("digest", LargeBinary, nullable=False),  # HMAC-SHA-256(pepper, client_id ‖ 0x00 ‖ secret)
    Column("legacy", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("exposed_at", BigInteger),
    Column("overlap_seconds", BigInteger),  # set by a rotation: how long it must be unused to be safe to remove
    Column("warned_days", BigInteger),  # the last warning before its expiry: 30, 7 or 1 days
    Index("secrets_by_digest", "digest"),
    sqlite_with_rowid=False,
)

# Apart from `secrets` because it is written with every token and must not touch the rows the snapshot reads.
secret_use = Table(
    "secret_use",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("secret_id", Text, primary_key=True),
    Column("use_count", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
    Column("last_address", Text, nullable=False),
    sqlite_with_rowid=False,
)

# From where each secret was used. An address is an IPv4 address or an IPv6 /64; a secret keeps its latest thousand.
secret_addresses = Table(
    "secret_addresses",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("secret_id", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("use_count", BigInteger, nullable=False),
    Column("first_used_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Links that make one secret for whoever opens them. Of the claim only its HMAC is kept; the secret is made on opening.
hand_offs = Table(
    "hand_offs",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("hand_off_id", Text, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("claim_digest", LargeBinary, nullable=False),
    Column("label", Text),
    Column("secret_lifetime_seconds", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("opened_at", BigInteger),
    Column("secret_id", Text),
    Index("hand_offs_by_id", "hand_off_id", unique=True),
    sqlite_with_rowid=False,
)

grants = Table(
    "grants",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("client_id", Text, primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
