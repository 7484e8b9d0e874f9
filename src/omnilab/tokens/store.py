"""The table of signing keys and its only SQL. Private keys come and go sealed; nothing here can open one."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tokens.model.keys import SigningKey
from omnilab.tokens.tables import signing_keys

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


async def remove_key(tx: Transaction, key_id: str) -> None:
    """Forget a key whose last token has expired."""
    await tx.execute(_REMOVE, key_id)
