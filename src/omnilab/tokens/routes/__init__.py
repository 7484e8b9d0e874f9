"""HTTP in and out of the house of tokens, as the list of its operations. Nothing is decided here."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from omnilab.quotas.service import QuotaService
from omnilab.settings import Settings
from omnilab.tokens.routes.body import TokenParameters
from omnilab.tokens.routes.documents import (
    JWKS_PATH,
    METADATA_PATH,
    TOKEN_PATH,
    Documents,
    JsonWebKeySet,
    Metadata,
    metadata_of,
)
from omnilab.tokens.routes.token import TokenEndpoint
from omnilab.tokens.service.issuing import TokenService
from omnilab.tokens.service.keyring import Keyring
from omnilab.tokens.service.whoami import WhoAmI, WhoAmIService
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation

_TOKEN_REFUSALS = (
    "request_malformed",
    "parameter_missing",
    "parameter_repeated",
    "parameter_invalid",
    "two_authentication_methods",
    "browser_request",
    "resource_mismatch",
    "audience_missing",
    "grant_type_unsupported",
    "audience_unknown",
    "scope_not_granted",
    "credential_missing",
    "client_authentication_failed",
    "secret_mistyped",
    "secret_cut_off",
    "secret_wrong_environment",
    "secret_expired",
    "secret_revoked",
    "client_disabled",
    "tenant_suspended",
    "tenant_host_mismatch",
    "method_not_allowed",
    "body_too_large",
    "media_type_unsupported",
    "token_quota_exceeded",
    "too_many_failed_authentications",
    "temporarily_unavailable",
)


class TokenAnswer(msgspec.Struct, omit_defaults=True):
    """An access token (RFC 6749 §5.1). `scope` is there only where one was asked for."""

    access_token: str
    token_type: Annotated[str, Meta(examples=["Bearer"])]
    expires_in: Annotated[int, Meta(description="Seconds.", examples=[3600])]
    scope: str = ""


def token_operations(
    tokens: TokenService, keyring: Keyring, quotas: QuotaService, settings: Settings
) -> list[Operation]:
    """Token, whoami, JWKS and metadata."""
    whoami = WhoAmIService(quotas, environment=settings.environment)
    documents = Documents(keyring, metadata_of(settings.public_url, settings.docs_url))
    return [_token(TokenEndpoint(tokens)), _whoami(whoami), _jwks(documents), _metadata(documents)]


def _token(endpoint: TokenEndpoint) -> Operation:
    return Operation(
        method="POST",
        path=TOKEN_PATH,
        operation_id="token",
        handler=endpoint,
        summary="Get an access token",
        description="Client credentials grant (RFC 6749 §4.4). Takes JSON, a form, and HTTP Basic.",
        tag="Tokens",
        error_format="oauth",
        durable_refusals=True,
        body=TokenParameters,
        answers={200: TokenAnswer},
        refusals=_TOKEN_REFUSALS,
    )


def _whoami(whoami: WhoAmIService) -> Operation:
    async def answer(exchange: Exchange) -> None:
        await exchange.answer(200, msgspec.json.encode(await whoami.describe(exchange.caller)))

    return Operation(
        method="GET",
        path="/v1/oauth:whoami",
        operation_id="whoami",
        handler=answer,
        summary="See who a token belongs to and what is enabled",
        tag="Tokens",
        protected=True,
        answers={200: WhoAmI},
    )


def _jwks(documents: Documents) -> Operation:
    return Operation(
        method="GET",
        path=JWKS_PATH,
        operation_id="jwks",
        handler=documents.answer_jwks,
        summary="The public keys that verify access tokens (RFC 7517)",
        tag="Discovery",
        answers={200: JsonWebKeySet},
    )


def _metadata(documents: Documents) -> Operation:
    return Operation(
        method="GET",
        path=METADATA_PATH,
        operation_id="metadata",
        handler=documents.answer_metadata,
        summary="Authorization server metadata (RFC 8414)",
        tag="Discovery",
        answers={200: Metadata},
    )
