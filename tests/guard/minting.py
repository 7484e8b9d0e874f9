"""Making tokens for the guard's tests, right ones and wrong ones, from parts that can each be replaced.

Signs by hand over `cryptography`, so that what no honest library would write can be written.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER = "https://id.example.com"
AUDIENCE = "https://acme.api.example.com"
NOW = 1_800_000_000

ES256 = ec.generate_private_key(ec.SECP256R1())
RS256 = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EDDSA = ed25519.Ed25519PrivateKey.generate()
STRANGER = ec.generate_private_key(ec.SECP256R1())


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, width: int) -> str:
    return b64(value.to_bytes(width, "big"))


def ec_jwk(key: ec.EllipticCurvePrivateKey, key_id: str = "key_es") -> dict[str, Any]:
    point = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "kid": key_id,
        "use": "sig",
        "alg": "ES256",
        "x": number(point.x, 32),
        "y": number(point.y, 32),
    }


def rsa_jwk(key: rsa.RSAPrivateKey, key_id: str = "key_rs") -> dict[str, Any]:
    public = key.public_key().public_numbers()
    width = (public.n.bit_length() + 7) // 8
    return {
        "kty": "RSA",
        "kid": key_id,
        "use": "sig",
        "alg": "RS256",
        "n": number(public.n, width),
        "e": number(public.e, 3),
    }


def ed_jwk(key: ed25519.Ed25519PrivateKey, key_id: str = "key_ed") -> dict[str, Any]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": key_id,
        "use": "sig",
        "alg": "EdDSA",
        "x": b64(key.public_key().public_bytes_raw()),
    }


JWKS = {"keys": [ec_jwk(ES256), rsa_jwk(RS256), ed_jwk(EDDSA)]}


def sign_raw(key: object, data: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.sign(data)


def right_claims() -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "sub": "cli_one",
        "client_id": "cli_one",
        "aud": AUDIENCE,
        "iat": NOW - 10,
        "exp": NOW + 3590,
        "jti": "0190a5c8-0000-7000-8000-000000000000",
        "scope": "bookings:read bookings:cancel",
        "tenant": "acme",
        "credential_id": "sec_one",
    }


@dataclass
class Mint:
    """A token in the making. `header` and `claims` replace members (None takes one out), `*_json` the whole text."""

    key: object = field(default_factory=lambda: ES256)
    header: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header_json: bytes | None = None
    claims_json: bytes | None = None

    def signing_input(self) -> bytes:
        header = {"alg": "ES256", "typ": "at+jwt", "kid": "key_es"} | self.header
        claims = right_claims() | self.claims
        first = self.header_json or json.dumps({k: v for k, v in header.items() if v is not None}).encode()
        second = self.claims_json or json.dumps({k: v for k, v in claims.items() if v is not None}).encode()
        return f"{b64(first)}.{b64(second)}".encode()

    def with_signature(self, signature: bytes) -> str:
        return f"{self.signing_input().decode()}.{b64(signature)}"

    def token(self) -> str:
        return self.with_signature(sign_raw(self.key, self.signing_input()))


def token(**claims: Any) -> str:
    """A token with these claims in place of the right ones, signed with ES256."""
    return Mint(claims=claims).token()
