"""HTTP in and out of the house of tokens, as the list of its operations. Nothing is decided here."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from omnilab.quotas.service import QuotaService
from omnilab.tokens.routes.body import FORM, JSON, TokenCallParameters, TokenParameters
from omnilab.tokens.routes.documents import (
    INTROSPECT_PATH,
    JWKS_PATH,
    METADATA_PATH,
    RESOURCE_METADATA_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    Documents,
    JsonWebKeySet,
    Metadata,
    ResourceMetadata,
)
from omnilab.tokens.routes.token import TokenEndpoint
from omnilab.tokens.routes.token_calls import TokenCalls
from omnilab.tokens.service.introspection import Introspection
from omnilab.tokens.service.issuing import TokenService
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
    "address_not_allowed",
    "tenant_host_mismatch",
    "method_not_allowed",
    "body_too_large",
    "media_type_unsupported",
    "token_quota_exceeded",
    "too_many_failed_authentications",
    "temporarily_unavailable",
)


# The calls about a token authenticate their caller in the same way, and choose no audience or scope.
_TOKEN_CALL_REFUSALS = (
    *(
        code
        for code in _TOKEN_REFUSALS
        if code not in {"resource_mismatch", "audience_missing", "grant_type_unsupported", "audience_unknown"}
        and code not in {"scope_not_granted", "token_quota_exceeded"}
    ),
    "quota_exceeded",
)


class TokenAnswer(msgspec.Struct, omit_defaults=True):
    """An access token (RFC 6749 §5.1). `scope` is there only where one was asked for."""

    access_token: str
    token_type: Annotated[str, Meta(examples=["Bearer"])]
    expires_in: Annotated[int, Meta(description="Seconds.", examples=[3600])]
    scope: str = ""


def token_operations(
    tokens: TokenService, calls: TokenCalls, quotas: QuotaService, *, documents: Documents, environment: str
) -> list[Operation]:
    """Token, whoami, revoke, introspect, and the documents."""
    return [
        _token(TokenEndpoint(tokens)),
        _whoami(WhoAmIService(quotas, environment=environment)),
        _revoke(calls),
        _introspect(calls),
        _jwks(documents),
        _metadata(documents),
        _resource_metadata(documents),
    ]


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


class Revoked(msgspec.Struct):
    """Nothing: the status says it (RFC 7009 §2.2)."""


def _revoke(calls: TokenCalls) -> Operation:
    return Operation(
        method="POST",
        path=REVOKE_PATH,
        operation_id="revoke",
        handler=calls.answer_revoke,
        summary="End an access token of your own before its time",
        description="Token revocation (RFC 7009). 200 also for a text that is no living token of the client's.",
        tag="Tokens",
        error_format="oauth",
        durable_refusals=True,
        body=TokenCallParameters,
        body_media_types=(FORM, JSON),
        answers={200: Revoked},
        refusals=("token_type_unsupported", *_TOKEN_CALL_REFUSALS),
    )


def _introspect(calls: TokenCalls) -> Operation:
    return Operation(
        method="POST",
        path=INTROSPECT_PATH,
        operation_id="introspect",
        handler=calls.answer_introspect,
        summary="Ask what an access token of your tenant is worth now",
        description="Token introspection (RFC 7662). Anything else is `active: false`, whoever it belongs to.",
        tag="Tokens",
        error_format="oauth",
        body=TokenCallParameters,
        body_media_types=(FORM, JSON),
        answers={200: Introspection},
        refusals=_TOKEN_CALL_REFUSALS,
    )


def _resource_metadata(documents: Documents) -> Operation:
    return Operation(
        method="GET",
        path=RESOURCE_METADATA_PATH,
        operation_id="resourceMetadata",
        handler=documents.answer_resource_metadata,
        summary="Protected resource metadata (RFC 9728)",
        tag="Discovery",
        answers={200: ResourceMetadata},
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
