"""Signed statements: Ed25519 over bytes, checked with a public key alone."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class StatementSigner:
    """Signs; `seed` is the 32-byte private key, `public_key` its public half in base64url."""

    __slots__ = ("_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = _text(self._key.public_key().public_bytes_raw())

    def sign(self, statement: bytes) -> str:
        """The signature in base64url."""
        return _text(self._key.sign(statement))

    def __repr__(self) -> str:
        return f"StatementSigner(public_key={self.public_key!r})"


class StatementVerifier:
    """Checks signatures. Raises ValueError for a text that is no public key."""

    __slots__ = ("_key",)

    def __init__(self, public_key: str) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(_bytes(public_key))

    def verifies(self, signature: str, statement: bytes) -> bool:
        """Whether this signature is the key's for these bytes."""
        try:
            self._key.verify(_bytes(signature), statement)
        except (InvalidSignature, ValueError):
            return False
        return True


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64url") from error
    if _text(raw) != text:  # the last character has bits to spare: one signature, one text
        raise ValueError("not base64url as it is written")
    return raw
