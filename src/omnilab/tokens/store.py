"""The tables of signing keys and of revoked tokens, and their only SQL. Private keys come and go sealed."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tokens.model.keys import SigningKey
from omnilab.tokens.tables import revoked_tokens, signing_keys

_KEY_COLUMNS = (
    signing_keys.c.key_id,
    signing_keys.c.algorithm,
    signing_keys.c.status,
    signing_keys.c.public_jwk,
    signing_keys.c.created_at,
    signing_keys.c.activated_at,
    signing_keys.c.retired_at,
)
# The order of `keys list` and of the JWKS.
_LIST = Statement(
    select(*_KEY_COLUMNS).order_by(signing_keys.c.algorithm, signing_keys.c.created_at, signing_keys.c.key_id)
)
_CURRENT_PRIVATE = Statement(
    select(signing_keys.c.key_id, signing_keys.c.algorithm, signing_keys.c.sealed_private_key).where(
        signing_keys.c.status == bindparam("wanted")
    ),
    "wanted",
)
_ACTIVATE = Statement(
    update(signing_keys)
    .where(signing_keys.c.key_id == bindparam("wanted"))
    .values(status="current", activated_at=bindparam("now_ms")),
    "wanted",
    "now_ms",
)
_RETIRE = Statement(
    update(signing_keys)
    .where(signing_keys.c.key_id == bindparam("wanted"))
    .values(status="retired", retired_at=bindparam("now_ms")),
    "wanted",
    "now_ms",
)
_REVOKE = Statement(
    update(signing_keys)
    .where(signing_keys.c.key_id == bindparam("wanted"))
    .values(status="revoked", retired_at=bindparam("now_ms")),
    "wanted",
    "now_ms",
)
_SEALED = Statement(select(signing_keys.c.key_id, signing_keys.c.sealed_private_key))
_RESEAL = Statement(
    update(signing_keys)
    .where(signing_keys.c.key_id == bindparam("wanted"))
    .values(sealed_private_key=bindparam("new_sealed")),
    "wanted",
    "new_sealed",
)
_REMOVE = Statement(delete(signing_keys).where(signing_keys.c.key_id == bindparam("wanted")), "wanted")


async def list_keys(reader: Reader) -> list[SigningKey]:
    """All keys, by algorithm and age."""
    return [
        SigningKey(
            key_id=key_id,
            algorithm=algorithm,
            status=status,
            public_jwk=public_jwk,
            created_at=created_at,
            activated_at=activated_at,
            retired_at=retired_at,
        )
        for key_id, algorithm, status, public_jwk, created_at, activated_at, retired_at in await reader.fetch(_LIST)
    ]


async def list_current_private_keys(reader: Reader) -> list[tuple[str, str, bytes]]:
    """(key id, algorithm, sealed private key) of the keys that sign."""
    return [
        (key_id, algorithm, bytes(sealed))
        for key_id, algorithm, sealed in await reader.fetch(_CURRENT_PRIVATE, "current")
    ]


async def add_keys(tx: Transaction, keys: list[tuple[SigningKey, bytes]]) -> None:
    """Add keys with their sealed private halves."""
    rows = [
        (
            key.key_id,
            key.algorithm,
            key.status,
            key.public_jwk,
            sealed,
            key.created_at,
            key.activated_at,
            key.retired_at,
        )
        for key, sealed in keys
    ]
    await tx.insert_rows(signing_keys, rows)


async def activate_key(tx: Transaction, key_id: str, now_ms: int) -> None:
    """From now on this key signs."""
    await tx.execute(_ACTIVATE, key_id, now_ms)


async def retire_key(tx: Transaction, key_id: str, now_ms: int) -> None:
    """From now on this key only verifies."""
    await tx.execute(_RETIRE, key_id, now_ms)


async def revoke_key(tx: Transaction, key_id: str, now_ms: int) -> None:
    """From now on nothing that this key signed counts."""
    await tx.execute(_REVOKE, key_id, now_ms)


async def list_sealed(tx: Transaction) -> list[tuple[str, bytes]]:
    """(key id, sealed private key) of every key there is."""
    return [(key_id, bytes(sealed)) for key_id, sealed in await tx.fetch(_SEALED)]


async def reseal_key(tx: Transaction, key_id: str, sealed: bytes) -> None:
    """The same private key, sealed under another master key."""
    await tx.execute(_RESEAL, key_id, sealed)


async def remove_key(tx: Transaction, key_id: str) -> None:
    """Forget a key whose last token has expired."""
    await tx.execute(_REMOVE, key_id)


_REVOKED = Statement(
    select(revoked_tokens.c.token_id, revoked_tokens.c.expires_at).where(
        revoked_tokens.c.tenant_id == bindparam("of_tenant"), revoked_tokens.c.token_id == bindparam("wanted")
    ),
    "of_tenant",
    "wanted",
)
_ALL_REVOKED = Statement(
    select(revoked_tokens.c.token_id, revoked_tokens.c.expires_at).where(
        revoked_tokens.c.expires_at > bindparam("now_ms")
    ),
    "now_ms",
)
_DROP_EXPIRED = Statement(delete(revoked_tokens).where(revoked_tokens.c.expires_at <= bindparam("now_ms")), "now_ms")


async def find_revoked(reader: Reader, tenant_id: str, token_id: str) -> tuple[str, int] | None:
    """(token id, expires at in ms) if this token was revoked."""
    row = await reader.fetch_one(_REVOKED, tenant_id, token_id)
    return None if row is None else (row[0], row[1])


async def list_revoked(reader: Reader, now_ms: int) -> list[tuple[str, int]]:
    """(token id, expires at in ms) of every revoked token that would otherwise still live, across tenants."""
    return [(token_id, expires_at) for token_id, expires_at in await reader.fetch(_ALL_REVOKED, now_ms)]


async def add_revoked(tx: Transaction, row: tuple[str, str, str, int, int]) -> None:
    """Add (tenant id, token id, client id, expires at, revoked at); times in ms."""
    await tx.insert_rows(revoked_tokens, [row])


async def drop_expired(tx: Transaction, now_ms: int) -> int:
    """Forget revoked tokens whose life would be over anyway. Returns how many."""
    return await tx.execute(_DROP_EXPIRED, now_ms)
