"""Signing keys (RFC 7517, RFC 7518, RFC 8037), over `cryptography`; `crypto.signer` signs with them.

Only the three algorithms an audience may choose are known: ES256, RS256 and EdDSA (Ed25519).
"""

from __future__ import annotations

import binascii

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

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
