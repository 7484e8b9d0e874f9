"""The way into a protected call: one token, a proved caller, its quota, its right. In this order.

Promises that a handler runs only for a caller who may, that every refusal names the step that failed, and that the
grant is looked at before the body is. Must not know what the call does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast
from urllib.parse import unquote_to_bytes

from omnilab.errors import CredentialError, OmniLabError, RequestError, RightError, Subject, UnavailableError
from omnilab.guard import (
    Caller,
    Guard,
    GuardError,
    InsufficientScopeError,
    InvalidTokenError,
    KeysUnavailableError,
    MalformedRequestError,
    Standings,
)
from omnilab.guard.bearer import read_bearer, two_tokens
from omnilab.guard.caller import named
from omnilab.quotas import QuotaExceededError, QuotaService
from omnilab.tenancy.model.networks import Network, is_allowed
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation

_TOKEN_PARAMETER = b"access_token"


class AudienceStanding(Protocol):
    """An audience of the client."""

    @property
    def endpoints(self) -> frozenset[str]:
        """The endpoints that tokens for it may carry."""


class TenantStanding(Protocol):
    """What the gate asks of the caller's tenant."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def token_quota(self) -> str | None: ...
    @property
    def api_quota(self) -> str | None: ...


class ClientStanding(Protocol):
    """What the gate asks of the caller's client; the snapshot's entry has all of it."""

    @property
    def client_id(self) -> str: ...
    @property
    def grants(self) -> frozenset[str]: ...
    @property
    def allowed(self) -> frozenset[str]: ...
    @property
    def audiences(self) -> Mapping[str, AudienceStanding]: ...
    @property
    def api_networks(self) -> tuple[Network, ...] | None: ...
    @property
    def token_quota(self) -> str | None: ...
    @property
    def api_quota(self) -> str | None: ...
    @property
    def tenant(self) -> TenantStanding: ...


class Gate:
    """Admits calls of one application.

    guard must have been given the same `standings`, whose entries are `ClientStanding`s.
    """

    __slots__ = ("_guard", "_quotas", "_standings")

    def __init__(self, guard: Guard, quotas: QuotaService, *, standings: Standings) -> None:
        self._guard = guard
        self._quotas = quotas
        self._standings = standings

    async def admit(self, exchange: Exchange, operation: Operation) -> Caller:
        """Prove the caller of a protected operation and its right; `exchange.caller` and `.subject` are set then.

        From the moment the quota is charged every answer carries its headers. Raises RequestError for a token in
        the wrong place, CredentialError (401), LimitError (429), RightError (403) or UnavailableError (503).
        """
        caller, endpoint = await self._prove(exchange), operation.endpoint
        if endpoint in caller.scope and endpoint not in caller.allowed:
            # Withdrawn since the token was issued, or granted so lately that only the issuing process knows.
            await self._standings.catch_up()
            caller = await self._prove(exchange)
        client = cast(ClientStanding, caller.standing)
        subject = Subject(client.tenant.tenant_id, caller.tenant, caller.client_id, caller.credential_id)
        exchange.caller, exchange.subject = caller, subject
        if client.api_networks is not None and not is_allowed(exchange.address, client.api_networks):
            raise _elsewhere(exchange.address, client.api_networks, subject)
        if endpoint is not None:
            _check_audience(endpoint, caller, client, subject)
        await self._charge(exchange, client, subject)
        if endpoint is not None and not (endpoint in client.allowed and endpoint in caller.scope):
            raise _missing_right(endpoint, caller, client, subject)
        return caller

    async def _prove(self, exchange: Exchange) -> Caller:
        try:
            if exchange.query_string:
                _refuse_token_in_query(exchange.query_string)
            values = exchange.headers(b"authorization")
            if exchange.method != "GET":
                await _refuse_token_in_body(exchange, no_header=not values)
            return await self._guard.verify(read_bearer(values), tenant=exchange.host_tenant)
        except GuardError as error:
            raise await self._refusal(error) from None

    async def _charge(self, exchange: Exchange, client: ClientStanding, subject: Subject) -> None:
        try:
            exchange.extra_headers.extend(await self._quotas.charge("api", client))
        except QuotaExceededError as error:
            exchange.extra_headers.extend(error.headers)
            error.subject = subject
            raise

    async def _refusal(self, error: GuardError) -> OmniLabError:
        """The guard's error as one of ours, with the subject if the signature proved one."""
        if isinstance(error, KeysUnavailableError):
            return UnavailableError(error.reason, retry_after_seconds=error.retry_after_seconds)
        kinds: dict[type[GuardError], type[OmniLabError]] = {
            MalformedRequestError: RequestError,
            InvalidTokenError: CredentialError,
            InsufficientScopeError: RightError,
        }
        return kinds[type(error)](
            error.code,
            error.detail,
            reason=error.reason,
            check=error.check,
            expected=error.expected,
            found=error.found,
            subject=await self._find_subject(error),
            claimed_client_id=error.client_id,
        )

    async def _find_subject(self, error: GuardError) -> Subject | None:
        if error.client_id is None:
            return None
        try:
            standing = await self._standings.find_client(error.client_id)
        except UnavailableError:
            return None  # the refusal is certain without it; the record then has the client as claimed
        if standing is None:
            return None
        tenant = standing.tenant
        return Subject(tenant.tenant_id, tenant.tenant, standing.client_id, error.credential_id)


def _refuse_token_in_query(query: bytes) -> None:
    # RFC 9700 §4.3.2: a token in a URL ends up in logs and histories.
    if _TOKEN_PARAMETER not in query and b"%" not in query:
        return
    if _has_token_parameter(query):
        raise two_tokens("a token in the query")


async def _refuse_token_in_body(exchange: Exchange, *, no_header: bool) -> None:
    """RFC 6750 §2.2 lets a form carry the token; a proxy that reads only headers would not see it.

    A JSON body is looked at only where no header came, to say what is wrong; else its strict reader refuses it.
    """
    content_type = (exchange.header(b"content-type") or b"").split(b";", 1)[0].strip().lower()
    is_form = content_type == b"application/x-www-form-urlencoded"
    if not is_form and not (no_header and content_type == b"application/json"):
        return
    try:
        body = await exchange.body()
    except RequestError:
        return  # too large: whoever may not call is told that first
    if _has_token_parameter(body) if is_form else b'"access_token"' in body:
        raise two_tokens("a token in the body")


def _has_token_parameter(form: bytes) -> bool:
    names = (pair.split(b"=", 1)[0] for pair in form.split(b"&"))
    return any(unquote_to_bytes(name) == _TOKEN_PARAMETER for name in names)


def _check_audience(endpoint: str, caller: Caller, client: ClientStanding, subject: Subject) -> None:
    audience = client.audiences.get(caller.audience)
    if audience is not None and endpoint in audience.endpoints:
        return
    right = [uri for uri, each in client.audiences.items() if endpoint in each.endpoints]
    raise CredentialError(
        "audience_mismatch",
        f"The access token is for another API; {endpoint} needs one with the audience that offers it.",
        check="token_audience",
        expected=f"an audience with {endpoint}: {' '.join(sorted(right)) or 'the client has none'}",
        found=caller.audience,
        subject=subject,
    )


def _elsewhere(address: str, networks: tuple[Network, ...], subject: Subject) -> RightError:
    return RightError(
        "address_not_allowed",
        f"The token is right, but the client may not call from {address or 'an unknown address'}; "
        "call from an agreed address or ask OmniLab to add this one.",
        check="address",
        expected=f"an address in {' '.join(str(each) for each in networks)}",
        found=address or "none",
        subject=subject,
    )


def _missing_right(endpoint: str, caller: Caller, client: ClientStanding, subject: Subject) -> RightError:
    """Which of grant, entitlement and token lacks the endpoint, asked in the order of `CHECKS`."""
    if endpoint not in client.allowed:
        granted = endpoint in client.grants
        return RightError(
            "endpoint_not_enabled",
            f"{endpoint} is not enabled for this client; ask OmniLab to enable it.",
            check="entitlement" if granted else "grant",
            expected=f"the tenant entitled to {endpoint}" if granted else f"a grant of {endpoint}",
            found=f"enabled: {named(client.allowed)}",
            subject=subject,
        )
    return RightError(
        "token_predates_grant",
        f"{endpoint} is enabled, but this token was issued before that or with a narrower scope; get a new token.",
        check="token_scope",
        expected=f"{endpoint} in the token's scope",
        found=f"scope: {named(caller.scope)}",
        subject=subject,
    )
