"""Signing in one go what gathered in one turn of the event loop.

A signature over P-256 reads 150 kB of tables. Measured on one core, over OpenSSL: 40 µs while they are in the
processor's cache, 108 µs when other work came between two signatures. Token requests that are ready together are
therefore signed one after the other, while the group commit that holds their records is on its way.
"""

from __future__ import annotations

import asyncio

from omnilab.crypto.signer import Signer


class UnsignedToken:
    """A token that is about to be signed."""

    __slots__ = ("_signer", "_signing_input", "_token")

    def __init__(self, signer: Signer, signing_input: bytes) -> None:
        self._signer = signer
        self._signing_input = signing_input
        self._token = b""

    def sign(self) -> bytes:
        """The compact JWS (RFC 7515 §7.1), signed at the first call."""
        if not self._token:
            self._token = self._signing_input + b"." + self._signer.sign(self._signing_input)
        return self._token


class SigningTurn:
    """Gathers tokens and signs them all when the requests that are ready now have had their turn."""

    __slots__ = ("_gathered",)

    def __init__(self) -> None:
        self._gathered: list[UnsignedToken] = []

    def add(self, signer: Signer, signing_input: bytes) -> UnsignedToken:
        """Have a token signed soon; whoever needs it sooner calls its `sign`."""
        token = UnsignedToken(signer, signing_input)
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._sign_all)
        self._gathered.append(token)
        return token

    def _sign_all(self) -> None:
        gathered, self._gathered = self._gathered, []
        for token in gathered:
            token.sign()
