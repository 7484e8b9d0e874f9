"""`POST /v1/oauth:revoke` (RFC 7009) and `POST /v1/oauth:introspect` (RFC 7662): reading, and one question each.

The caller authenticates as it does for a token, in the body or by Basic, and the same rules hold: one method, no
browser, nothing in the query string.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from omnilab.errors import OmniLabError, TokenRefusedError
from omnilab.quotas.service import QuotaService
from omnilab.tokens.model.request import Presented, TokenRequest
from omnilab.tokens.routes.authorization import claimed_client_id, find_presented
from omnilab.tokens.routes.body import TokenCallParameters, form_or_json, read_careful
from omnilab.tokens.routes.token import check_query
from omnilab.tokens.service.introspection import IntrospectionService
from omnilab.tokens.service.issuing import TokenService, subject_of
from omnilab.tokens.service.revocation import RevocationService
from omnilab.tokens.service.token_call import TokenCall
from omnilab.web.exchange import Exchange


class TokenCalls:
    """Answers the calls about one token."""

    def __init__(
        self,
        tokens: TokenService,
        quotas: QuotaService,
        *,
        revocation: RevocationService,
        introspection: IntrospectionService,
    ) -> None:
        self._tokens = tokens
        self._quotas = quotas
        self._revocation = revocation
        self._introspection = introspection

    async def answer_revoke(self, exchange: Exchange) -> None:
        """200 whatever the text was, once it opens nothing any more (RFC 7009 §2.2)."""
        await self._revocation.revoke(await self._read(exchange))
        await exchange.answer(200, b"{}")

    async def answer_introspect(self, exchange: Exchange) -> None:
        """200 with what the token is worth now."""
        found = await self._introspection.introspect(await self._read(exchange))
        await exchange.answer(200, msgspec.json.encode(found))

    async def _read(self, exchange: Exchange) -> TokenCall:
        parameters = read_careful(await exchange.body(), form_or_json(exchange), TokenCallParameters)
        try:
            return await self._authenticate(exchange, parameters)
        except OmniLabError as error:
            if error.subject is None and error.claimed_client_id is None:
                error.claimed_client_id = claimed_client_id(exchange.header(b"authorization"), parameters)
            raise

    async def _authenticate(self, exchange: Exchange, parameters: TokenCallParameters) -> TokenCall:
        if exchange.query_string:
            check_query(exchange.query_string, TokenCallParameters.__struct_fields__)
        if not parameters.token:
            raise _token_missing()
        authorization = exchange.header(b"authorization")
        if exchange.header(b"origin") is not None or exchange.header(b"sec-fetch-site") is not None:
            await self._refuse_browser(exchange, parameters, authorization)
        request = _request_of(exchange, find_presented(authorization, parameters))
        client, secret = await self._tokens.authenticate(request)
        exchange.subject = subject_of(client, secret)
        exchange.extra_headers.extend(await self._quotas.charge("api", client))
        return TokenCall(client, secret, request, parameters.token, parameters.token_type_hint)

    async def _refuse_browser(
        self, exchange: Exchange, parameters: TokenCallParameters, authorization: bytes | None
    ) -> NoReturn:
        try:
            presented = find_presented(authorization, parameters)
        except OmniLabError:
            presented = ()
        await self._tokens.refuse_browser(_request_of(exchange, presented))


def _request_of(exchange: Exchange, presented: tuple[Presented, ...]) -> TokenRequest:
    return TokenRequest(
        request_id=exchange.request_id,
        address=exchange.address,
        address_group=exchange.address_group,
        host_tenant=exchange.host_tenant,
        presented=presented,
        audience="",
        audience_optional=True,
        scope="",
        caller_request_id=exchange.caller_request_id,
    )


def _token_missing() -> TokenRefusedError:
    return TokenRefusedError(
        "parameter_missing",
        "The parameter token is missing; send the access token that this call is about.",
        check="parameters",
        expected="a token",
        found="no token",
    )
