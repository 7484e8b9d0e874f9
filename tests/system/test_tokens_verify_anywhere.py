"""A token is verified by two unrelated JOSE libraries from the JWKS alone, before and after `keys rotate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import joserfc.jwt
import jwt
import pytest
from joserfc.jwk import KeySet

from tests.harness import Credentials, Omnilab, Server

ALGORITHMS = ("ES256", "RS256", "EdDSA")


def claims_by_pyjwt(token: str, jwks: dict[str, Any], client: Credentials) -> dict[str, Any]:
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt"
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


@pytest.fixture(scope="module")
def issuing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Omnilab, Server, dict[str, Credentials]]]:
    omnilab = Omnilab(tmp_path_factory.mktemp("algorithms")).init()
    clients = {}
    for algorithm in ALGORITHMS:
        tenant = f"tenant-{algorithm.lower()}"
        omnilab.create_tenant(tenant)
        clients[algorithm] = omnilab.create_client(tenant)
        omnilab.cli("audiences", "update", "--tenant", tenant, clients[algorithm].audience, "--alg", algorithm)
    with omnilab.serve() as server:
        yield omnilab, server, clients


# RFC 9864 names Ed25519 as the newer spelling of what RFC 8037 calls EdDSA; the contract says EdDSA.
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("read", [claims_by_pyjwt, claims_by_joserfc])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_before_and_after_a_rotation(
    issuing: tuple[Omnilab, Server, dict[str, Credentials]],
    algorithm: str,
    read: Callable[[str, dict[str, Any], Credentials], dict[str, Any]],
) -> None:
    omnilab, server, clients = issuing
    client = clients[algorithm]
    jwks_before = server.http.get("/.well-known/jwks.json").json()
    before = server.token(client)
    claims = read(before, jwks_before, client)
    assert jwt.get_unverified_header(before)["alg"] == algorithm
    assert claims["client_id"] == claims["sub"] == client.client_id
    assert claims["tenant"] == client.tenant
    assert claims["exp"] - claims["iat"] == 3600

    omnilab.cli("keys", "rotate", "--now")

    after = server.token(client)
    jwks_after = server.http.get("/.well-known/jwks.json").json()
    kid_before, kid_after = (jwt.get_unverified_header(token)["kid"] for token in (before, after))
    assert kid_before != kid_after
    # A verifier that cached the JWKS before the rotation knows the promoted key: it was published as the next one.
    assert read(after, jwks_before, client)["client_id"] == client.client_id
    # The retired key still verifies what it signed, and the API still takes it.
    assert read(before, jwks_after, client)["client_id"] == client.client_id
    for token in (before, after):
        assert server.list_bookings(token, "contact-1").status_code == 200
