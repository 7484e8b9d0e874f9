"""The documents that tell verifiers and OAuth libraries all they need: JWKS, the server's metadata, the API's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from omnilab.errors import RequestError
from omnilab.tenancy.model.nouns import BOOKING_ENDPOINTS
from omnilab.tokens.model.keys import JWKS_MAX_AGE_SECONDS
from omnilab.tokens.service.keyring import Keyring
from omnilab.web.exchange import Exchange, Header

TOKEN_PATH = "/v1/oauth:token"
REVOKE_PATH = "/v1/oauth:revoke"
INTROSPECT_PATH = "/v1/oauth:introspect"
JWKS_PATH = "/.well-known/jwks.json"
METADATA_PATH = "/.well-known/oauth-authorization-server"
RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource"
_AUTHENTICATION = ["client_secret_basic", "client_secret_post"]
_MAX_AGE: Header = (b"cache-control", b"public, max-age=%d" % JWKS_MAX_AGE_SECONDS)


class PublicKey(msgspec.Struct, omit_defaults=True):
    """A JSON Web Key (RFC 7517): EC, RSA or OKP."""

    kty: Annotated[str, Meta(examples=["EC", "RSA", "OKP"])]
    kid: str
    use: str
    alg: Annotated[str, Meta(examples=["ES256", "RS256", "EdDSA"])]
    crv: str = ""
    x: str = ""
    y: str = ""
    n: str = ""
    e: str = ""


class JsonWebKeySet(msgspec.Struct):
    """The keys that verify access tokens: those that sign, those that will, and those whose tokens still live."""

    keys: list[PublicKey]


class Metadata(msgspec.Struct):
    """Authorization server metadata (RFC 8414 §2)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint: str
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint: str
    introspection_endpoint_auth_methods_supported: list[str]
    service_documentation: str


class ResourceMetadata(msgspec.Struct):
    """Protected resource metadata (RFC 9728 §2): where tokens for this host's API come from."""

    resource: str
    authorization_servers: list[str]
    jwks_uri: str
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_name: str
    resource_documentation: str


def metadata_of(issuer: str, docs_url: str) -> Metadata:
    """What this server can do. `response_types_supported` is required and empty: nobody logs in here."""
    return Metadata(
        issuer=issuer,
        token_endpoint=issuer + TOKEN_PATH,
        jwks_uri=issuer + JWKS_PATH,
        grant_types_supported=["client_credentials"],
        response_types_supported=[],
        token_endpoint_auth_methods_supported=_AUTHENTICATION,
        revocation_endpoint=issuer + REVOKE_PATH,
        revocation_endpoint_auth_methods_supported=_AUTHENTICATION,
        introspection_endpoint=issuer + INTROSPECT_PATH,
        introspection_endpoint_auth_methods_supported=_AUTHENTICATION,
        service_documentation=docs_url,
    )


def resource_metadata_of(resource: str, metadata: Metadata) -> ResourceMetadata:
    """What is told of the Booking API under this URL: exactly the one that the caller asked under (§3.3)."""
    return ResourceMetadata(
        resource=resource,
        authorization_servers=[metadata.issuer],
        jwks_uri=metadata.jwks_uri,
        scopes_supported=list(BOOKING_ENDPOINTS),
        bearer_methods_supported=["header"],
        resource_name="Booking API",
        resource_documentation=metadata.service_documentation,
    )


class Documents:
    """Serves them, with what caches need. `base_url_of`: a tenant's key → its base URL."""

    def __init__(self, keyring: Keyring, metadata: Metadata, base_url_of: Callable[[str], str]) -> None:
        self._keyring = keyring
        self._base_url_of = base_url_of
        self._issuer = metadata.issuer
        self._of_issuer = metadata
        self._metadata = msgspec.json.encode(metadata)
        self._metadata_etag = b'"%b"' % hashlib.sha256(self._metadata).hexdigest()[:32].encode()

    async def answer_jwks(self, exchange: Exchange) -> None:
        """`GET /.well-known/jwks.json`, on every host: a guard may know only its tenant's."""
        jwks = self._keyring.jwks()
        await _answer_cached(exchange, jwks.body, jwks.etag)

    async def answer_metadata(self, exchange: Exchange) -> None:
        """`GET /.well-known/oauth-authorization-server`, on the issuer's own host only (RFC 8414 §3.3)."""
        if exchange.host_tenant is not None:
            raise RequestError(
                "not_found",
                f"The metadata is served by the issuer only: {self._issuer}{METADATA_PATH}",
                check="host",
                expected=f"the issuer's host: {self._issuer}",
                found="a tenant's host",
            )
        await _answer_cached(exchange, self._metadata, self._metadata_etag)

    async def answer_resource_metadata(self, exchange: Exchange) -> None:
        """`GET /.well-known/oauth-protected-resource`; whether a host's tenant exists is not told."""
        resource = self._issuer if exchange.host_tenant is None else self._base_url_of(exchange.host_tenant)
        body = msgspec.json.encode(resource_metadata_of(resource, self._of_issuer))
        await exchange.answer(200, body, headers=(_MAX_AGE,))


async def _answer_cached(exchange: Exchange, body: bytes, etag: bytes) -> None:
    """The document, or 304 where the caller has it already (RFC 9110 §13.1.2)."""
    headers = (_MAX_AGE, (b"etag", etag))
    known = [each.strip().removeprefix(b"W/") for each in b",".join(exchange.headers(b"if-none-match")).split(b",")]
    if etag in known or b"*" in known:
        await exchange.answer(304, b"", headers=headers)
    else:
        await exchange.answer(200, body, headers=headers)
