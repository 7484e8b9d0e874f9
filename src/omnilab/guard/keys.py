"""Public keys that verify signatures, read from a JWK Set (RFC 7517).

Promises that a key works with the one algorithm it is made for and with nothing else, so that no header can choose
(RFC 8725 §3.1). What is not a P-256, RSA or Ed25519 public key for signatures is passed over, a symmetric key above
all: the public key of an RSA pair as an HMAC secret is the oldest attack there is. Must not know tokens or HTTP.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from omnilab.guard.errors import KeysUnavailableError

Jwks = Mapping[str, Any]
Check = Callable[[bytes, bytes], None]  # (signature, data); raises InvalidSignature

MAX_KEYS = 100
MIN_RSA_BITS = 2048  # RFC 7518 §3.3
MAX_RSA_BITS = 8192  # the time of a check grows with the square

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class VerificationKey:
    """One public key. `live` turns False for good when its key set no longer has it."""

    __slots__ = ("algorithm", "key_id", "live", "material", "_check")

    def __init__(self, key_id: str, algorithm: str, *, material: tuple[str, ...], check: Check) -> None:
        self.key_id = key_id
        self.algorithm = algorithm
        self.material = material
        self.live = True
        self._check = check

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the raw JWS signature over `data` is this key's."""
        try:
            self._check(signature, data)
        except InvalidSignature:
            return False
        return True


class KeySource(Protocol):
    """Where verification keys come from."""

    def poll(self) -> None:
        """Called at every verification, so it must be cheap: notice that keys have changed or grown old."""

    async def find(self, key_id: str) -> VerificationKey | None:
        """The key of this id, None when there is none. Raises KeysUnavailableError when that cannot be known."""


class KeySet:
    """The usable keys of a JWK Set, by id. The first of one id counts."""

    __slots__ = ("_by_id",)

    def __init__(self) -> None:
        self._by_id: dict[str, VerificationKey] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, key_id: str) -> VerificationKey | None:
        return self._by_id.get(key_id)

    def replace(self, jwks: Jwks) -> None:
        """Take the keys of another JWK Set; the unchanged ones stay the same objects.

        Raises ValueError, and changes nothing, when there is no usable key in it.
        """
        fresh: dict[str, VerificationKey] = {}
        for key in read_keys(jwks):
            known = self._by_id.get(key.key_id)
            same = known is not None and known.material == key.material
            fresh.setdefault(key.key_id, known if known is not None and same else key)
        if not fresh:
            raise ValueError("the JWK Set has no key for ES256, RS256 or EdDSA signatures with a kid")
        for gone in self._by_id.values():
            gone.live = fresh.get(gone.key_id) is gone
        self._by_id = fresh


class GivenKeys:
    """Keys from a JWK Set at hand. Raises ValueError when no key in it can be used."""

    __slots__ = ("_keys",)

    def __init__(self, jwks: Jwks) -> None:
        self._keys = KeySet()
        self._keys.replace(jwks)

    def poll(self) -> None:
        return

    async def find(self, key_id: str) -> VerificationKey | None:
        return self._keys.get(key_id)


class CurrentKeys:
    """Keys from a function that returns the JWK Set in force: the same object until the keys change.

    With an unusable set the keys before it stay in force, and without any before it nothing can be decided.
    """

    __slots__ = ("_current", "_keys", "_seen")

    def __init__(self, current: Callable[[], Jwks]) -> None:
        self._current = current
        self._keys = KeySet()
        self._seen: Jwks | None = None

    def poll(self) -> None:
        current = self._current()
        if current is not self._seen:
            self._seen = current
            with contextlib.suppress(ValueError):
                self._keys.replace(current)

    async def find(self, key_id: str) -> VerificationKey | None:
        if not len(self._keys):
            raise KeysUnavailableError("there are no signing keys yet")
        return self._keys.get(key_id)


def read_keys(jwks: object) -> list[VerificationKey]:
    """The usable keys of a JWK Set. Raises ValueError when it is none; unusable keys are passed over (RFC 7517 §5)."""
    listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"a JWK Set is an object with a list of at most {MAX_KEYS} keys")
    keys = [read_key(entry) for entry in listed if isinstance(entry, Mapping)]
    return [key for key in keys if key is not None]


def read_key(jwk: Mapping[str, Any]) -> VerificationKey | None:
    """One JWK as a key, or None when it is not for our signatures."""
    key_id, operations = jwk.get("kid"), jwk.get("key_ops", ["verify"])
    if not isinstance(key_id, str) or not 0 < len(key_id) <= 255:
        return None
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    kind: tuple[Any, Any] = (jwk.get("kty"), jwk.get("crv"))
    readers = {("EC", "P-256"): _read_es256, ("RSA", None): _read_rs256, ("OKP", "Ed25519"): _read_eddsa}
    try:
        algorithm, material, check = readers[kind](jwk)
    except (KeyError, TypeError, ValueError, UnsupportedAlgorithm):
        return None
    # A private key where a public one belongs is a leak, not a key to trust.
    if jwk.get("alg", algorithm) != algorithm or "d" in jwk:
        return None
    return VerificationKey(key_id, algorithm, material=(algorithm, *material), check=check)


def _read_es256(jwk: Mapping[str, Any]) -> tuple[str, tuple[str, ...], Check]:
    x, y = _bytes(jwk["x"]), _bytes(jwk["y"])
    if len(x) != 32 or len(y) != 32:
        raise ValueError("a P-256 coordinate has 32 bytes")
    # Raises ValueError for a point that is not on the curve (RFC 8725 §3.4).
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    verify, scheme = numbers.public_key().verify, ec.ECDSA(hashes.SHA256())

    def check(signature: bytes, data: bytes) -> None:
        # Raw r and s, 32 bytes each (RFC 7518 §3.4): a DER signature is refused. Zero is the "psychic" signature.
        if len(signature) != 64:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if not (0 < r < _P256_ORDER and 0 < s < _P256_ORDER):
            raise InvalidSignature
        verify(encode_dss_signature(r, s), data, scheme)

    return "ES256", (jwk["x"], jwk["y"]), check


def _read_rs256(jwk: Mapping[str, Any]) -> tuple[str, tuple[str, ...], Check]:
    modulus, exponent = int.from_bytes(_bytes(jwk["n"]), "big"), int.from_bytes(_bytes(jwk["e"]), "big")
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS or not 3 <= exponent < 2**32:
        raise ValueError("an RSA key of another size")
    verify, scheme, digest = (
        rsa.RSAPublicNumbers(exponent, modulus).public_key().verify,
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    return "RS256", (jwk["n"], jwk["e"]), lambda signature, data: verify(signature, data, scheme, digest)


def _read_eddsa(jwk: Mapping[str, Any]) -> tuple[str, tuple[str, ...], Check]:
    key = ed25519.Ed25519PublicKey.from_public_bytes(_bytes(jwk["x"]))
    return "EdDSA", (jwk["x"],), key.verify


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
