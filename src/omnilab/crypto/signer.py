"""JWS signatures (RFC 7515, RFC 7518 §3, RFC 8037).

ES256 is signed by AWS-LC and not by OpenSSL: two thirds of the time, for what was a fifth of a token
(docs/adr/0002). The other two algorithms are signed by `cryptography`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256

from awscrt.crypto import EC
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from omnilab.crypto.signing import PrivateKey, b64url, private_key_der

_P256_BYTES = 32


def _es256(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    own = EC.new_key_from_der_data(private_key_der(key))
    sign_der, raw = own.sign, EC.decode_der_signature_to_padded_pair
    # The one library has to take what the other signs. This is also a worker's first signature, for which AWS-LC seeds
    # its random numbers for 30 ms: here and not in a request.
    key.public_key().verify(sign_der(sha256(b"").digest()), b"", ec.ECDSA(hashes.SHA256()))
    return lambda data: raw(sign_der(sha256(data).digest()), _P256_BYTES)


def _signature_function(key: PrivateKey) -> Callable[[bytes], bytes]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _es256(key)
    if isinstance(key, rsa.RSAPrivateKey):
        sign_rsa, pkcs1, by_sha256 = key.sign, padding.PKCS1v15(), hashes.SHA256()
        return lambda data: sign_rsa(data, pkcs1, by_sha256)
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
