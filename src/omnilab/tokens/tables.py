"""The table of signing keys."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

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
