"""The tables of signing keys and of access tokens that were revoked one by one."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from omnilab.storage.tables import metadata

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("key_id", Text, primary_key=True),  # the JWS `kid`
    Column("algorithm", Text, nullable=False),
    Column("status", Text, nullable=False),  # next | current | retired | revoked
    Column("public_jwk", Text, nullable=False),
    Column("sealed_private_key", LargeBinary, nullable=False),  # PKCS#8 DER under the master key
    Column("created_at", BigInteger, nullable=False),
    Column("activated_at", BigInteger),
    Column("retired_at", BigInteger),
)

# A row lives no longer than its token would have: it is dropped after `expires_at`.
revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("token_id", Text, primary_key=True),  # the `jti`
    Column("client_id", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=False),
    Index("revoked_tokens_by_expiry", "expires_at"),
    sqlite_with_rowid=False,
)
