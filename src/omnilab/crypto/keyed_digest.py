"""HMAC-SHA-256 (RFC 2104) whose key is set up once, for what is made with every request.

Two hash states of `hashlib`, copied: 0.9 µs where copying an object of `hmac` takes 1.6. A test holds them equal.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

_BLOCK_BYTES = 64
# Tables for `bytes.translate`: where more tenants call than keys stay set up, setting one up is on the way of a read.
_INNER_PAD, _OUTER_PAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class KeyedDigest:
    """Makes the HMACs under one key; each has 32 bytes."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK_BYTES else sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(block.translate(_INNER_PAD))
        self._outer = sha256(block.translate(_OUTER_PAD))

    def __call__(self, data: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def __repr__(self) -> str:
        return "KeyedDigest(**********)"


def keyed_digest(key: bytes, data: bytes) -> bytes:
    """One HMAC, 32 bytes; keys in use stay set up."""
    return _keyed(key)(data)


@lru_cache(maxsize=1_024)
def _keyed(key: bytes) -> KeyedDigest:
    return KeyedDigest(key)
