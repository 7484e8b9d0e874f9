"""What a live token's holder may know about itself: who it is, what is enabled, when token and secret end.

So that an integrator can confirm a set-up without a booking call. Needs no grant; decides nothing.
"""

from __future__ import annotations

import msgspec

from omnilab.guard import Caller
from omnilab.quotas.service import QuotaService
from omnilab.tenancy.snapshot import ClientEntry
from omnilab.tokens.model.decision import utc

QuotaState = dict[str, dict[str, dict[str, int] | None]]


class WhoAmI(msgspec.Struct):
    """The caller, as the platform sees it now. Times are RFC 3339 in UTC.

    allowed: the endpoints of the token's audience that are enabled now. A token issued before one was enabled lacks
    it until it is renewed.
    """

    client_id: str
    tenant: str
    environment: str
    audience: str
    allowed: list[str]
    token_expires_at: str
    secret_id: str
    secret_expires_at: str | None
    quotas: QuotaState


class WhoAmIService:
    """Answers from the caller's standing and the quotas; `environment` is the deployment's."""

    def __init__(self, quotas: QuotaService, *, environment: str) -> None:
        self._quotas = quotas
        self._environment = environment

    async def describe(self, caller: Caller) -> WhoAmI:
        """The holder of a token that the gate has let in."""
        client = caller.standing
        assert isinstance(client, ClientEntry), "here the guard's standings are the snapshot"
        secret = client.secret(caller.credential_id)
        expires_at = None if secret is None else secret.expires_at
        return WhoAmI(
            client_id=caller.client_id,
            tenant=caller.tenant,
            environment=self._environment,
            audience=caller.audience,
            allowed=_enabled(client, caller.audience),
            token_expires_at=utc(int(caller.expires_at) * 1000),
            secret_id=caller.credential_id,
            secret_expires_at=None if expires_at is None else utc(expires_at),
            quotas=await self._quotas.peek(client),
        )


def _enabled(client: ClientEntry, audience: str) -> list[str]:
    entry = client.audiences.get(audience)
    return [] if entry is None else sorted(client.allowed & entry.endpoints)
