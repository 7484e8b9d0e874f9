"""A token is verified by two unrelated JOSE libraries from the JWKS alone, before and after `keys rotate`."""

from __future__ import annotations

import time
from typing import Any

import joserfc.jwt
import jwt
import pytest
from joserfc.jwk import KeySet

from tests.conftest import Served
from tests.harness import Credentials

ALGORITHMS = ("ES256", "RS256", "EdDSA")
CHANGES_BITE_WITHIN_SECONDS = 1.0


def claims_by_pyjwt(token: str, jwks: dict[str, Any], client: Credentials) -> dict[str, Any]:
    header = jwt.get_unverified_header(token)
    key = next(key for key in jwt.PyJWKSet.from_dict(jwks).keys if key.key_id == header["kid"])
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=[header["alg"]], audience=client.audience, issuer=client.issuer
    )
    return claims


def claims_by_joserfc(token: str, jwks: dict[str, Any], client: Credentials) -> dict[str, Any]:
    decoded = joserfc.jwt.decode(token, KeySet.import_key_set(jwks), algorithms=list(ALGORITHMS))
    joserfc.jwt.JWTClaimsRegistry(
        aud={"essential": True, "value": client.audience}, iss={"essential": True, "value": client.issuer}
    ).validate(decoded.claims)
    return dict(decoded.claims)


def assert_verified_by_both(token: str, jwks: dict[str, Any], client: Credentials) -> None:
    claims = claims_by_pyjwt(token, jwks, client)
    assert claims == claims_by_joserfc(token, jwks, client)
    assert claims["client_id"] == claims["sub"] == client.client_id
    assert claims["tenant"] == client.tenant
    assert claims["exp"] - claims["iat"] == 3600
    assert set(claims["scope"].split()) == set(client.allowed)
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"


def token_unlike(served: Served, name: str, value: str) -> str:
    """A token whose header no longer says `value`: a change may take up to a second to reach a worker."""
    deadline = time.monotonic() + CHANGES_BITE_WITHIN_SECONDS
    while True:
        token = served.server.token(served.client)
        if jwt.get_unverified_header(token)[name] != value:
            return token
        assert time.monotonic() < deadline, f"tokens still say {name} {value}"
        time.sleep(0.05)


# RFC 9864 names Ed25519 as the newer spelling of what RFC 8037 calls EdDSA; the contract says EdDSA.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_before_and_after_a_rotation(served: Served, algorithm: str) -> None:
    omnilab, server, client = served.omnilab, served.server, served.client
    alg = jwt.get_unverified_header(server.token(client))["alg"]
    omnilab.cli("audiences", "update", "--tenant", client.tenant, client.audience, "--alg", algorithm)
    before = server.token(client) if alg == algorithm else token_unlike(served, "alg", alg)
    header = jwt.get_unverified_header(before)
    assert header["alg"] == algorithm
    jwks_before = server.http.get("/.well-known/jwks.json").json()
    assert_verified_by_both(before, jwks_before, client)

    omnilab.cli("keys", "rotate", "--now")

    after = token_unlike(served, "kid", header["kid"])
    assert jwt.get_unverified_header(after)["alg"] == algorithm
    jwks_after = server.http.get("/.well-known/jwks.json").json()
    assert_verified_by_both(after, jwks_after, client)
    # A verifier that cached the JWKS before the rotation knows the promoted key: it was published as the next one.
    assert_verified_by_both(after, jwks_before, client)
    # The retired key still verifies what it signed, and the API still takes it.
    assert_verified_by_both(before, jwks_after, client)
    for token in (before, after):
        assert server.list_bookings(token, "contact-1").status_code == 200
