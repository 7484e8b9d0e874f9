"""The signing keys of one process: one signer for each algorithm, and the JWKS, both exchanged whole on a change.

Reads the database at start and when the change feed names `keys`, never per token. Private keys are opened here and
nowhere else, and only those that sign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from omnilab.clock import Clock
from omnilab.crypto.sealing import MasterKey
from omnilab.crypto.signer import Signer
from omnilab.crypto.signing import load_private_key
from omnilab.errors import UnavailableError
from omnilab.storage.changes import Change
from omnilab.storage.database import Reader
from omnilab.tokens.model.keys import SEAL_KIND, SigningKey, gone_at, is_published, jwks
from omnilab.tokens.store import list_current_private_keys, list_keys


class Jwks(msgspec.Struct, frozen=True):
    """The published keys, as a JWK Set and as they are sent; `good_until_ms` is when a retired key falls out."""

    document: dict[str, Any]
    body: bytes
    etag: bytes
    good_until_ms: float


class Keyring:
    """Signs and publishes. `load` before the first use; `apply` for the change feed."""

    def __init__(self, reader: Reader, master_key: MasterKey, clock: Clock) -> None:
        self._reader = reader
        self._master_key = master_key
        self._clock = clock
        self._signers: dict[str, Signer] = {}
        self._keys: list[SigningKey] = []
        self._jwks = _publish([], 0)

    def signer(self, algorithm: str) -> Signer:
        """The current key of an algorithm. Raises UnavailableError when there is none."""
        signer = self._signers.get(algorithm)
        if signer is None:
            raise UnavailableError(f"there is no signing key for {algorithm}: run `omnilab init`")
        return signer

    def jwks(self) -> Jwks:
        """What verifiers need now: next, current, and retired keys until their last token has expired.

        The same object until the keys change.
        """
        if self._jwks.good_until_ms <= self._clock.now_ms():
            self._jwks = _publish(self._keys, self._clock.now_ms())
        return self._jwks

    async def load(self) -> None:
        """Read all keys. Raises UnavailableError, or SealBrokenError under another master key."""
        keys = await list_keys(self._reader)
        signers: dict[str, Signer] = {}
        for key_id, algorithm, sealed in await list_current_private_keys(self._reader):
            known = self._signers.get(algorithm)
            signers[algorithm] = known if known and known.key_id == key_id else self._open(key_id, algorithm, sealed)
        self._keys, self._signers = keys, signers
        self._jwks = _publish(keys, self._clock.now_ms())

    async def apply(self, changes: Sequence[Change]) -> None:
        """For the feed: read the keys again if any of these changes is about them."""
        if any(change.kind == "keys" for change in changes):
            self._master_key.refresh()  # it may be about that: `omnilab keys reseal`
            await self.load()

    def _open(self, key_id: str, algorithm: str, sealed: bytes) -> Signer:
        return Signer(key_id, algorithm, load_private_key(self._master_key.open(SEAL_KIND, key_id, sealed)))


def _publish(keys: list[SigningKey], now_ms: int) -> Jwks:
    document = {"keys": jwks(keys, now_ms)}
    body = msgspec.json.encode(document)
    leaving = [gone_at(key) for key in keys if key.status == "retired" and is_published(key, now_ms)]
    etag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
    return Jwks(document, body, etag, min(leaving, default=float("inf")))
