"""Sealing what must lie in the database but be read by us alone: AES-256-GCM under the master key.

The row's kind and id are authenticated with it, so a sealed value copied into another row does not open.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_VERSION = b"\x01"
KEY_BYTES = 32


class SealBrokenError(Exception):
    """A sealed value does not open: another master key, another row, or a changed value."""


class MasterKeyError(ValueError):
    """A master key's text is not 32 bytes in base64 or hex. Never quotes the text."""


class MasterKey:
    """The one key that is never in the database (`OMNILAB_MASTER_KEY`)."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise MasterKeyError(f"the master key must be {KEY_BYTES} bytes, this one has {len(key)}")
        self._aead = AESGCM(key)

    @classmethod
    def parse(cls, text: str) -> MasterKey:
        """Read 32 bytes from 64 hex digits or from base64 (either alphabet). Raises MasterKeyError."""
        text = text.strip()
        try:
            if len(text) == 2 * KEY_BYTES:
                return cls(bytes.fromhex(text))
            standard = text.replace("-", "+").replace("_", "/")
            return cls(base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True))
        except (ValueError, binascii.Error) as error:
            if isinstance(error, MasterKeyError):
                raise
            raise MasterKeyError(f"the master key must be {KEY_BYTES} bytes written in base64 or hex") from None

    def seal(self, kind: str, row_id: str, plaintext: bytes) -> bytes:
        """Encrypt for one row of one kind."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._aead.encrypt(nonce, plaintext, _bound_to(kind, row_id))

    def open(self, kind: str, row_id: str, sealed: bytes) -> bytes:
        """Decrypt what `seal` made for this row. Raises SealBrokenError."""
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION:
            raise SealBrokenError(f"the sealed {kind} {row_id} has an unknown format")
        try:
            return self._aead.decrypt(nonce, ciphertext, _bound_to(kind, row_id))
        except (InvalidTag, ValueError):
            raise SealBrokenError(f"the sealed {kind} {row_id} does not open under this master key") from None

    def __repr__(self) -> str:
        return "MasterKey(**********)"


def _bound_to(kind: str, row_id: str) -> bytes:
    return f"{kind}\0{row_id}".encode()


def new_master_key_text() -> str:
    """A fresh master key as base64 text."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def keyed_digest(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes."""
    mac = _keyed(key).copy()
    mac.update(data)
    return mac.digest()


@lru_cache(maxsize=1_024)
def _keyed(key: bytes) -> hmac.HMAC:
    """The HMAC with its key set up: a third of what `hmac.digest` takes, which also lets go of the interpreter lock."""
    return hmac.new(key, digestmod="sha256")
