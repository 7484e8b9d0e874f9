"""Who is calling, once a token is proved; and what the guard asks of whoever knows how things stand now.

Promises that a `Caller` holds no token and never changes. Must not know HTTP, JOSE or where standings come from.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Protocol

from omnilab.guard.errors import InsufficientScopeError


class TenantStanding(Protocol):
    """How the caller's tenant stands at this moment."""

    @property
    def tenant_id(self) -> str: ...

    @property
    def tenant(self) -> str:
        """The tenant's key."""

    @property
    def active(self) -> bool: ...


class Standing(Protocol):
    """How a client stands at this moment: its live rights, and whether its credentials still count."""

    @property
    def client_id(self) -> str: ...

    @property
    def active(self) -> bool: ...

    @property
    def tenant(self) -> TenantStanding: ...

    @property
    def grants(self) -> frozenset[str]:
        """What the client is granted."""

    @property
    def allowed(self) -> frozenset[str]:
        """What is granted and entitled: the rights that count."""

    @property
    def audiences(self) -> Container[str]:
        """The audiences this client may hold tokens for."""

    def has_live_secret(self, secret_id: str) -> bool:
        """Whether tokens issued on this credential still count."""


class Standings(Protocol):
    """Knows how clients stand now. Asked at every call, so it has to answer from memory."""

    async def find_client(self, client_id: str, /) -> Standing | None:
        """The client, or None when there is none. What it raises when it cannot know passes through the guard."""

    async def catch_up(self) -> None:
        """Take in whatever was changed before this call. Asked only where memory would refuse: the token may stand on
        something newer, a credential that was added a moment ago, say."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The proved caller of one call.

    tenant: the tenant's key; tenant_id: its id, known only from a standing. scope: the rights in the token.
    token_id: the token's `jti`. issued_at, expires_at: seconds since 1970 UTC.
    """

    client_id: str
    tenant: str
    tenant_id: str | None
    audience: str
    scope: frozenset[str]
    credential_id: str
    token_id: str
    issued_at: float
    expires_at: float
    standing: Standing | None = None

    @property
    def allowed(self) -> frozenset[str]:
        """What is enabled for the client now; from the token alone where no standing is known."""
        return self.scope if self.standing is None else self.standing.allowed

    def may(self, endpoint: str) -> bool:
        """Whether the token carries this right and it still holds."""
        return endpoint in self.scope and endpoint in self.allowed

    def require(self, endpoint: str) -> None:
        """Return if the caller may call this endpoint (`bookings:read`), else raise InsufficientScopeError.

        Its code is `token_predates_grant` where a new token would help, else `endpoint_not_enabled`.
        """
        if self.may(endpoint):
            return
        if self.standing is not None and endpoint in self.allowed:
            raise InsufficientScopeError(
                "token_predates_grant",
                f"{endpoint} is enabled, but this token was issued before that or with a narrower scope;"
                " get a new token.",
                check="token_scope",
                expected=f"{endpoint} in the token's scope",
                found=named(self.scope),
            )
        raise InsufficientScopeError(
            "endpoint_not_enabled",
            f"{endpoint} is not enabled for this client; ask OmniLab to enable it.",
            check="grant",
            expected=f"a grant of {endpoint}",
            found=named(self.allowed),
        )


def named(endpoints: frozenset[str]) -> str:
    """Endpoint names for a sentence, in order; `none` for none."""
    return " ".join(sorted(endpoints)) or "none"
