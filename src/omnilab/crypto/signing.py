"""Signing keys and JWS signatures (RFC 7515, RFC 7518, RFC 8037), over `cryptography`.

Only the three algorithms an audience may choose are known: ES256, RS256 and EdDSA (Ed25519).
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

ALGORITHMS = ("ES256", "RS256", "EdDSA")
RSA_BITS = 2048
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def generate_private_key(algorithm: str) -> PrivateKey:
    """A fresh private key for an algorithm. Raises ValueError for an unknown one."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"unknown algorithm {algorithm}: use one of {', '.join(ALGORITHMS)}")


def private_key_der(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS#8 DER; the caller seals it at once."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_key(der: bytes) -> PrivateKey:
    """Read what `private_key_der` wrote, and the master key's seal proves whole: the 30 ms that proving an RSA key
    takes are spared each start."""
    key = serialization.load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("not a signing key of a known kind")
    return key


def b64url(data: bytes) -> bytes:
    """Unpadded base64url (RFC 7515 §2)."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=")


def _b64url_number(number: int, width: int) -> str:
    return b64url(number.to_bytes(width, "big")).decode()


def public_jwk(key: PrivateKey, key_id: str, algorithm: str) -> dict[str, str]:
    """The public half as a JWK (RFC 7517), for signatures only."""
    common = {"kid": key_id, "use": "sig", "alg": algorithm}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": _b64url_number(point.x, 32),
            "y": _b64url_number(point.y, 32),
        } | common
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        modulus_bytes = (numbers.n.bit_length() + 7) // 8
        return {"kty": "RSA", "n": _b64url_number(numbers.n, modulus_bytes), "e": _b64url_number(numbers.e, 3)} | common
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64url(raw).decode()} | common


def raw_es256(der: bytes) -> bytes:
    """The two numbers of OpenSSL's signature over P-256 as JWS wants them: raw, 32 bytes each (RFC 7518 §3.4).

    In DER (RFC 3279 §2.2.3) each has at most 33 bytes behind its tag and length: signed, so with a zero before a first
    bit of 1, and without any others. A third of what `decode_dss_signature` and Python's own numbers take.
    """
    width = der[3]
    return der[4 : 4 + width][-32:].rjust(32, b"\0") + der[6 + width :][-32:].rjust(32, b"\0")


def _signature_function(key: PrivateKey) -> Callable[[bytes], bytes]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        sign_der, scheme = key.sign, ec.ECDSA(hashes.SHA256())
        return lambda data: raw_es256(sign_der(data, scheme))
    if isinstance(key, rsa.RSAPrivateKey):
        sign_rsa, pkcs1, sha256 = key.sign, padding.PKCS1v15(), hashes.SHA256()
        return lambda data: sign_rsa(data, pkcs1, sha256)
    return key.sign


class Signer:
    """Signs access tokens with one key. `header` is the encoded JOSE header and its dot, made once."""

    __slots__ = ("key_id", "algorithm", "header", "_sign")

    def __init__(self, key_id: str, algorithm: str, private_key: PrivateKey) -> None:
        self.key_id = key_id
        self.algorithm = algorithm
        # RFC 9068 §2.1: the type keeps an access token from being taken for any other kind of JWT.
        header = {"alg": algorithm, "typ": "at+jwt", "kid": key_id}
        self.header = b64url(json.dumps(header, separators=(",", ":")).encode()) + b"."
        self._sign = _signature_function(private_key)

    def sign(self, signing_input: bytes) -> bytes:
        """The encoded signature over `<header>.<payload>` (RFC 7515 §5.1)."""
        return b64url(self._sign(signing_input))

    def compact(self, claims_json: bytes) -> str:
        """A whole compact JWS for claims that are already JSON."""
        signing_input = self.header + b64url(claims_json)
        return (signing_input + b"." + self.sign(signing_input)).decode()

    def __repr__(self) -> str:
        return f"Signer(key_id={self.key_id!r}, algorithm={self.algorithm!r})"
