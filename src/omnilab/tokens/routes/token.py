"""`POST /v1/oauth:token`: from the request as it came to one question to the service, and back.

Reads strictly, finds the one presented credential, and decides nothing about it.
"""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import parse_qsl

from omnilab.errors import OmniLabError, RequestError, TokenRefusedError
from omnilab.tokens.model.request import Presented, TokenRequest
from omnilab.tokens.routes.authorization import claimed_client_id, find_presented
from omnilab.tokens.routes.body import FORM, NAMES, TokenParameters, form_or_json, read_parameters
from omnilab.tokens.service.issuing import TokenService
from omnilab.web.exchange import Exchange

GRANT_TYPE = "client_credentials"
# RFC 6749 §5.1 wants both; `Cache-Control: no-store` the exchange adds itself.
_NOT_CACHED = ((b"pragma", b"no-cache"),)


class TokenEndpoint:
    """Answers token requests."""

    def __init__(self, service: TokenService) -> None:
        self._service = service

    async def __call__(self, exchange: Exchange) -> None:
        kind = form_or_json(exchange)
        parameters = read_parameters(await exchange.body(), kind)
        try:
            if exchange.query_string:
                check_query(exchange.query_string)
            check_parameters(parameters)
            authorization = exchange.header(b"authorization")
            if exchange.header(b"origin") is not None or exchange.header(b"sec-fetch-site") is not None:
                await self._refuse_browser(exchange, parameters, authorization)
            presented = find_presented(authorization, parameters)
            request = read_request(exchange, parameters, presented, audience_optional=kind == FORM)
            issued = await self._service.issue(request, exchange.extra_headers)
        except OmniLabError as error:
            # Whose request it claims to be, so that an unproved refusal can be found again.
            if error.subject is None and error.claimed_client_id is None:
                error.claimed_client_id = claimed_client_id(exchange.header(b"authorization"), parameters)
            raise
        exchange.subject = issued.subject
        await exchange.answer(200, issued.answer, headers=_NOT_CACHED)

    async def _refuse_browser(
        self, exchange: Exchange, parameters: TokenParameters, authorization: bytes | None
    ) -> NoReturn:
        """No CORS header is ever sent, and where the credential is right it is exposed: look at it all the same."""
        try:
            presented = find_presented(authorization, parameters)
        except OmniLabError:
            presented = ()
        await self._service.refuse_browser(read_request(exchange, parameters, presented, audience_optional=True))


def read_request(
    exchange: Exchange, parameters: TokenParameters, presented: tuple[Presented, ...], *, audience_optional: bool
) -> TokenRequest:
    """The question to the service. Only a form may leave the audience out: no stock library sends it unless told."""
    return TokenRequest(
        request_id=exchange.request_id,
        address=exchange.address,
        address_group=exchange.address_group,
        host_tenant=exchange.host_tenant,
        presented=presented,
        audience=parameters.audience or parameters.resource,
        audience_optional=audience_optional,
        scope=parameters.scope,
        caller_request_id=exchange.caller_request_id,
    )


def check_parameters(parameters: TokenParameters) -> None:
    """The parameters that can be judged without knowing the client. Raises TokenRefusedError."""
    if parameters.resource and parameters.audience and parameters.resource != parameters.audience:
        raise TokenRefusedError(
            "resource_mismatch",
            "The parameters audience and resource differ; send one of them, or the same value in both.",
            check="parameters",
            expected="the same value in audience and resource",
            found="two values",
        )
    if not parameters.grant_type:
        raise TokenRefusedError(
            "parameter_missing",
            f"The parameter grant_type is missing; send grant_type={GRANT_TYPE}.",
            check="parameters",
            expected=GRANT_TYPE,
            found="no grant_type",
        )
    if parameters.grant_type != GRANT_TYPE:
        raise TokenRefusedError(
            "grant_type_unsupported",
            f"The grant_type is not supported; send grant_type={GRANT_TYPE}.",
            check="grant_type",
            expected=GRANT_TYPE,
            found=parameters.grant_type,
        )


def check_query(query: bytes, names: tuple[str, ...] = NAMES) -> None:
    """Parameters belong in the body: a URL ends up in logs (RFC 6749 §2.3.1). Raises RequestError."""
    named = {name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)} & set(names)
    if named:
        shown = ", ".join(sorted(named))
        raise RequestError(
            "parameter_invalid",
            f"The query string carries {shown}; send the parameters in the body only, for URLs end up in logs.",
            check="parameters",
            expected="no parameters in the query string",
            found=shown,
        )
