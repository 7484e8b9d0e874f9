"""Sealing what must lie in the database but be read by us alone: AES-256-GCM under the master key.

The row's kind and id are authenticated with it, so a sealed value copied into another row does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable

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
    """What is never in the database (`OMNILAB_MASTER_KEY`): one key, or several while they change.

    The first one seals, each of them opens. Where the text comes from a file, a running process reads that file again
    when something does not open, so that a new key reaches it without a restart.
    """

    __slots__ = ("_aeads", "_read", "_text")

    def __init__(self, *keys: bytes) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise MasterKeyError(f"a master key must be {KEY_BYTES} bytes")
        self._aeads = [AESGCM(key) for key in keys]
        self._read: Callable[[], str] | None = None
        self._text = ""

    @classmethod
    def parse(cls, text: str, *, again: Callable[[], str] | None = None) -> MasterKey:
        """Read keys of 32 bytes, each 64 hex digits or base64 (either alphabet), apart by spaces, commas or lines.

        again: reads the text anew from where it came. Raises MasterKeyError.
        """
        made = cls(*(_read_key(each) for each in text.replace(",", " ").split()))
        made._text, made._read = text, again
        return made

    def seal(self, kind: str, row_id: str, plaintext: bytes) -> bytes:
        """Encrypt for one row of one kind."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._aeads[0].encrypt(nonce, plaintext, _bound_to(kind, row_id))

    def open(self, kind: str, row_id: str, sealed: bytes) -> bytes:
        """Decrypt what `seal` made for this row. Raises SealBrokenError."""
        if sealed[:1] != _VERSION:
            raise SealBrokenError(f"the sealed {kind} {row_id} has an unknown format")
        found = self._try(self._aeads, kind, row_id, sealed)
        if found is None and self.refresh():
            found = self._try(self._aeads, kind, row_id, sealed)
        if found is None:
            raise SealBrokenError(f"the sealed {kind} {row_id} does not open under this master key")
        return found

    def reseal(self, kind: str, row_id: str, sealed: bytes) -> bytes | None:
        """The same sealed under the first key; None where it is so already. Raises SealBrokenError."""
        if self._try(self._aeads[:1], kind, row_id, sealed) is not None:
            return None
        return self.seal(kind, row_id, self.open(kind, row_id, sealed))

    def refresh(self) -> bool:
        """Read the keys again from where they came. Whether they changed; what cannot be read changes nothing."""
        if self._read is None:
            return False
        try:
            text = self._read()
            fresh = None if text == self._text else MasterKey.parse(text)
        except (OSError, ValueError):
            return False
        if fresh is not None:
            self._aeads, self._text = fresh._aeads, text
        return fresh is not None

    @staticmethod
    def _try(aeads: list[AESGCM], kind: str, row_id: str, sealed: bytes) -> bytes | None:
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        for aead in aeads:
            try:
                return aead.decrypt(nonce, ciphertext, _bound_to(kind, row_id))
            except (InvalidTag, ValueError):
                continue
        return None

    def __repr__(self) -> str:
        return "MasterKey(**********)"


def _read_key(text: str) -> bytes:
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
        standard = text.replace("-", "+").replace("_", "/")
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise MasterKeyError(f"a master key must be {KEY_BYTES} bytes written in base64 or hex") from None


def _bound_to(kind: str, row_id: str) -> bytes:
    return f"{kind}\0{row_id}".encode()


def new_master_key_text() -> str:
    """A fresh master key as base64 text."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()
