"""The closed order of checks between a right secret and a token. Pure: time comes in, refusals come out as errors.

Once its secret has proved right the caller is no stranger and is told everything (still 401 `invalid_client`): when
the secret expired, which one was revoked, where its own token URL is. Before that nothing here is ever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from omnilab.errors import TokenRefusedError
from omnilab.tenancy.model.networks import Network, is_allowed
from omnilab.tokens.model.request import TokenRequest


class Audience(Protocol):
    """An API that tokens are for."""

    @property
    def audience(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def lifetime_seconds(self) -> int: ...
    @property
    def endpoints(self) -> frozenset[str]: ...


class Tenant(Protocol):
    """The tenant of a client."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def active(self) -> bool: ...


class ClientSecret(Protocol):
    """The credential that proved right; times in milliseconds since 1970 UTC."""

    @property
    def secret_id(self) -> str: ...
    @property
    def label(self) -> str | None: ...
    @property
    def expires_at(self) -> int | None: ...
    @property
    def revoked_at(self) -> int | None: ...


class Client(Protocol):
    """The client it belongs to; `allowed` is what is granted and entitled."""

    @property
    def client_id(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def tenant(self) -> Tenant: ...
    @property
    def token_networks(self) -> tuple[Network, ...] | None: ...
    @property
    def audiences(self) -> Mapping[str, Audience]: ...
    @property
    def allowed(self) -> frozenset[str]: ...


class Right(NamedTuple):
    """What the token is for and what it carries. `asked`: a scope was asked for, so the answer names it."""

    audience: Audience
    scope: str
    asked: bool


def decide_standing(
    request: TokenRequest, client: Client, secret: ClientSecret, *, now_ms: int, token_url_of: Callable[[str], str]
) -> None:
    """Whether a right secret may be used here and now. Raises TokenRefusedError at the first check that fails."""
    if request.host_tenant is not None and request.host_tenant != client.tenant.tenant:
        raise _wrong_host(request.host_tenant, client.tenant.tenant, token_url_of(client.tenant.tenant))
    if secret.expires_at is not None and secret.expires_at <= now_ms:
        raise _expired(secret, secret.expires_at)
    if secret.revoked_at is not None:
        raise _revoked(secret, secret.revoked_at)
    if not client.active:
        raise _disabled()
    if not client.tenant.active:
        raise _suspended()
    if client.token_networks is not None and not is_allowed(request.address, client.token_networks):
        raise _elsewhere(request.address, client.token_networks)


def decide_right(request: TokenRequest, client: Client) -> Right:
    """Which audience and which endpoints the token is for. Raises TokenRefusedError.

    An endpoint name belongs to one audience, so a token's scope holds its audience's only (RFC 9068 §2.2.3).
    """
    audience = _pick_audience(request, client)
    held = client.allowed & audience.endpoints
    if not request.scope:
        return Right(audience, " ".join(sorted(held)), asked=False)
    wanted = set(request.scope.split(" "))
    if not wanted <= held:
        raise _beyond(wanted - held, held, audience)
    return Right(audience, " ".join(sorted(wanted)), asked=True)


def _pick_audience(request: TokenRequest, client: Client) -> Audience:
    if request.audience:
        audience = client.audiences.get(request.audience)
        if audience is None:
            raise _unknown_audience(request.audience, client)
        return audience
    if not request.audience_optional or len(client.audiences) != 1:
        raise _missing_audience(client)
    return next(iter(client.audiences.values()))


def _wrong_host(host_tenant: str, tenant: str, token_url: str) -> TokenRefusedError:
    return TokenRefusedError(
        "tenant_host_mismatch",
        f"The credentials are right, but this is another tenant's host; ask for the token at {token_url}",
        check="tenant_host",
        expected=f"the host of tenant {tenant}, or the platform's own",
        found=f"the host of tenant {host_tenant}",
    )


def _expired(secret: ClientSecret, expires_at: int) -> TokenRefusedError:
    return TokenRefusedError(
        "secret_expired",
        f"The client secret {_name_of(secret)} was right but expired at {utc(expires_at)}; "
        "use the client's newer secret or have one added.",
        check="secret_expiry",
        expected="a secret that has not expired",
        found=f"{secret.secret_id} expired at {utc(expires_at)}",
    )


def _revoked(secret: ClientSecret, revoked_at: int) -> TokenRefusedError:
    return TokenRefusedError(
        "secret_revoked",
        f"The client secret {_name_of(secret)} was right but was revoked at {utc(revoked_at)}; "
        "use the client's current secret.",
        check="secret_revocation",
        expected="a secret that is not revoked",
        found=f"{secret.secret_id} revoked at {utc(revoked_at)}",
    )


def _disabled() -> TokenRefusedError:
    return TokenRefusedError(
        "client_disabled",
        "The credentials are right, but the client is disabled; ask OmniLab to enable it.",
        check="client_status",
        expected="an active client",
        found="the client is disabled",
    )


def _suspended() -> TokenRefusedError:
    return TokenRefusedError(
        "tenant_suspended",
        "The credentials are right, but the tenant is suspended; ask OmniLab about the account.",
        check="tenant_status",
        expected="an active tenant",
        found="the tenant is suspended",
    )


def _elsewhere(address: str, networks: tuple[Network, ...]) -> TokenRefusedError:
    return TokenRefusedError(
        "address_not_allowed",
        f"The credentials are right, but the client may not be used from {address or 'an unknown address'}; "
        "call from an agreed address or ask OmniLab to add this one.",
        check="address",
        expected=f"an address in {' '.join(str(each) for each in networks)}",
        found=address or "none",
    )


def _unknown_audience(audience: str, client: Client) -> TokenRefusedError:
    known = ", ".join(sorted(client.audiences)) or "none"
    return TokenRefusedError(
        "audience_unknown",
        f"The audience is not one of this client's; it may ask for: {known}",
        check="audience",
        expected=known,
        found=audience,
    )


def _missing_audience(client: Client) -> TokenRefusedError:
    known = ", ".join(sorted(client.audiences)) or "none"
    return TokenRefusedError(
        "audience_missing",
        f"The parameter audience is missing; this client may ask for: {known}",
        check="audience",
        expected=f"one of: {known}",
        found="no audience",
    )


def _beyond(outside: set[str], held: frozenset[str], audience: Audience) -> TokenRefusedError:
    granted = " ".join(sorted(held)) or "nothing"
    return TokenRefusedError(
        "scope_not_granted",
        f"The scope asks for more than is granted for this audience; granted: {granted}. Leave scope out to get all.",
        check="scope",
        expected=f"a part of what is granted for {audience.audience}: {granted}",
        found="also " + " ".join(sorted(outside)),
    )


def _name_of(secret: ClientSecret) -> str:
    return f"{secret.secret_id} (label {secret.label})" if secret.label else secret.secret_id


def utc(at_ms: int) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
