"""Quotas as nouns and rules: what is allowed in which time, and what is told of it. Pure: no clock, no counters.

The algorithm is the fixed window of the `limits` library: a window opens with the first call and lets `amount` calls
through until it closes. So "how many are left" and "until when" are exact, on one node and with Redis alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Literal, NamedTuple, Protocol, Self

from omnilab.errors import LimitError

QuotaKind = Literal["token", "api"]
Header = tuple[bytes, bytes]

_QUOTA = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_WINDOW_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


class TenantQuotas(Protocol):
    """What a tenant was provisioned with; None is the default of the environment."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def token_quota(self) -> str | None: ...
    @property
    def api_quota(self) -> str | None: ...


class QuotaSubject(Protocol):
    """The proved client that a call counts against, and its tenant."""

    @property
    def client_id(self) -> str: ...
    @property
    def token_quota(self) -> str | None: ...
    @property
    def api_quota(self) -> str | None: ...
    @property
    def tenant(self) -> TenantQuotas: ...


class Quota(NamedTuple):
    """At most `amount` calls in `window_seconds`."""

    amount: int
    window_seconds: int


@lru_cache(maxsize=4096)
def parse_quota(text: str) -> Quota:
    """Read `600/minute` (second, minute, hour, day). Raises ValueError for anything else, and for none at all."""
    found = _QUOTA.fullmatch(text)
    if found is None:
        raise ValueError("a quota is like 600/minute (second, minute, hour or day)")
    return Quota(int(found[1]), _WINDOW_SECONDS[found[2]])


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """The defaults of an environment; None is no limit."""

    client_token: Quota | None = None
    client_api: Quota | None = None
    tenant_token: Quota | None = None
    tenant_api: Quota | None = None
    failed_per_client_per_minute: int | None = None
    failed_per_address_per_minute: int | None = None

    @classmethod
    def of(
        cls,
        *,
        client_token: str | None = None,
        client_api: str | None = None,
        tenant_token: str | None = None,
        tenant_api: str | None = None,
        failed_per_client_per_minute: int | None = None,
        failed_per_address_per_minute: int | None = None,
    ) -> Self:
        """The same from texts such as `120/minute`. Raises ValueError for one that is no quota."""
        return cls(
            client_token=parse_quota(client_token) if client_token else None,
            client_api=parse_quota(client_api) if client_api else None,
            tenant_token=parse_quota(tenant_token) if tenant_token else None,
            tenant_api=parse_quota(tenant_api) if tenant_api else None,
            failed_per_client_per_minute=failed_per_client_per_minute,
            failed_per_address_per_minute=failed_per_address_per_minute,
        )

    def of_call(self, kind: QuotaKind, subject: QuotaSubject) -> tuple[Quota | None, Quota | None]:
        """The limits on this client's calls, and on all calls of its tenant together: their own, else the defaults."""
        if kind == "token":
            own, tenants = subject.token_quota, subject.tenant.token_quota
            defaults = self.client_token, self.tenant_token
        else:
            own, tenants = subject.api_quota, subject.tenant.api_quota
            defaults = self.client_api, self.tenant_api
        if own is None and tenants is None:
            return defaults
        return (
            defaults[0] if own is None else parse_quota(own),
            defaults[1] if tenants is None else parse_quota(tenants),
        )


class QuotaExceededError(LimitError):
    """The quota is used up. `headers` belong on the answer, like those of an allowed call."""

    def __init__(
        self, kind: QuotaKind, quota: Quota, *, whose: str, seconds: float, headers: tuple[Header, ...]
    ) -> None:
        calls = "tokens" if kind == "token" else "calls"
        wait = whole_seconds(seconds)
        super().__init__(
            "token_quota_exceeded" if kind == "token" else "quota_exceeded",
            f"The quota of {quota.amount} {calls} in {quota.window_seconds} s for this {whose} is used up;"
            f" go on in {wait} s.",
            retry_after_seconds=wait,
            check="quota",
            expected=f"at most {quota.amount} {calls} in {quota.window_seconds} s for this {whose}",
            found="one more",
        )
        self.headers = headers


def whole_seconds(seconds: float) -> int:
    """Whole seconds, at least 1: who comes back after them comes back late enough."""
    return max(1, ceil(seconds))


@lru_cache(maxsize=1024)
def policy_header(client: Quota | None, tenant: Quota | None) -> Header:
    """`RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10: a structured list, RFC 9651, one item a quota)."""
    named = [(scope, quota) for scope, quota in (("client", client), ("tenant", tenant)) if quota is not None]
    value = ", ".join(f'"{scope}";q={quota.amount};w={quota.window_seconds}' for scope, quota in named)
    return b"ratelimit-policy", value.encode()
