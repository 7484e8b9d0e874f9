"""Introspecting a token (RFC 7662): whether it counts at this moment, and for what.

Promises that a caller learns of its own tenant's tokens only: any other text, whoever it belongs to, is `inactive` and
nothing else. Knows nothing of HTTP.
"""

from __future__ import annotations

import msgspec

from omnilab.audit.service import AuditService
from omnilab.clock import Clock
from omnilab.guard import Caller, Guard, InvalidTokenError
from omnilab.tokens.service.token_call import TokenCall

INTROSPECT_ENDPOINT = "oauth:introspect"


class Introspection(msgspec.Struct, omit_defaults=True):
    """What a token is worth now (RFC 7662 §2.2); a token that counts for nothing has `active` alone.

    scope: what the token carries and is still granted. Times in seconds since 1970 UTC.
    """

    active: bool
    scope: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None
    tenant: str | None = None
    credential_id: str | None = None


INACTIVE = Introspection(active=False)


class IntrospectionService:
    """Answers from the same guard that protects our own APIs: what it refuses is inactive."""

    def __init__(self, guard: Guard, audit: AuditService, clock: Clock) -> None:
        self._guard = guard
        self._audit = audit
        self._clock = clock

    async def introspect(self, call: TokenCall) -> Introspection:
        """The state of the token now. Raises UnavailableError when it cannot be known or not be recorded."""
        found, details = INACTIVE, {}
        try:
            caller = await self._guard.verify(call.token)
        except InvalidTokenError as error:
            # The record belongs to the caller's tenant, so it tells no more than the answer does of other tenants.
            caller = None
            if error.client_id == call.client.client_id:
                details = {"inactive_because": error.code}
        if caller is not None and caller.tenant_id == call.client.tenant.tenant_id:
            found = _active(caller, self._guard.issuer)
            details = {"token_id": caller.token_id}
        record = call.record(
            INTROSPECT_ENDPOINT, self._clock.now_ms(), {"active": str(found.active).lower(), **details}
        )
        self._audit.record_later(record)
        return found


def _active(caller: Caller, issuer: str) -> Introspection:
    return Introspection(
        active=True,
        scope=" ".join(sorted(caller.scope & caller.allowed)),
        client_id=caller.client_id,
        token_type="Bearer",
        exp=int(caller.expires_at),
        iat=int(caller.issued_at),
        sub=caller.client_id,
        aud=caller.audience,
        iss=issuer,
        jti=caller.token_id,
        tenant=caller.tenant,
        credential_id=caller.credential_id,
    )
