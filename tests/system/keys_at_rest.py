"""What an installation keeps sealed, opened with its master key, so that a test can look for it elsewhere."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from omnilab.crypto.sealing import MasterKey

Rows = Callable[[str], list[tuple[Any, ...]]]


def keys_of(database: Path, master_key_text: str) -> Iterator[tuple[str, bytes]]:
    """The keys of an embedded installation; see `keys_in`."""
    with closing(sqlite3.connect(database)) as connection:
        yield from keys_in(lambda sql: connection.execute(sql).fetchall(), master_key_text)


def keys_in(rows: Rows, master_key_text: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of the master key and of every key sealed under it; of signing keys only what is private."""
    master_key = MasterKey.parse(master_key_text)
    yield "master key", base64.b64decode(master_key_text)
    for name in ("pepper", "audit_chain_key"):
        ((text,),) = rows(f"SELECT value FROM installation WHERE name = '{name}'")
        yield name, master_key.open("installation", name, base64.b64decode(text))
    for tenant_id, sealed in rows("SELECT tenant_id, sealed_contact_key FROM tenants"):
        yield "contact key", master_key.open("contact_key", tenant_id, sealed)
    for key_id, sealed in rows("SELECT key_id, sealed_private_key FROM signing_keys"):
        for part in _private_parts(master_key.open("signing_key", key_id, sealed)):
            yield "signing key", part


def _private_parts(der: bytes) -> list[bytes]:
    key = load_der_private_key(der, password=None)
    if isinstance(key, Ed25519PrivateKey):
        return [key.private_bytes_raw()]
    if isinstance(key, EllipticCurvePrivateKey):
        return [key.private_numbers().private_value.to_bytes(32)]
    assert isinstance(key, RSAPrivateKey)
    numbers = key.private_numbers()
    return [number.to_bytes((number.bit_length() + 7) // 8) for number in (numbers.d, numbers.p, numbers.q)]
