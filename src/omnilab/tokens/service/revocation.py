"""Revoking one access token (RFC 7009) so that every node refuses it within a second.

Promises that a caller ends tokens of its own client only, and learns nothing about others: whatever it names, the
answer is the same. Knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from omnilab.audit.service import AuditService
from omnilab.clock import Clock
from omnilab.errors import TokenRefusedError
from omnilab.guard import Caller, Guard, InvalidTokenError
from omnilab.storage.changes import Change, append_change
from omnilab.storage.database import Database, Reader, Transaction
from omnilab.tokens.service.issuing import subject_of
from omnilab.tokens.service.token_call import TokenCall
from omnilab.tokens.store import add_revoked, drop_expired, find_revoked, list_revoked

REVOKE_ENDPOINT = "oauth:revoke"
EFFECT = "effect"
# Guards allow for clocks that differ by a few seconds, so a token outlives its `exp` by as much.
_SLACK_MS = 60_000


class RevokedTokens:
    """The revoked tokens of every tenant in one process's memory: `ids` (id → expiry in ms), dropped after expiry."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        # The guard looks into this very object, so it is changed in place.
        self.ids: dict[str, int] = {}

    async def apply(self, changes: Sequence[Change]) -> None:
        """For the feed: take in the tokens that these changes name."""
        for change in changes:
            if change.kind == "token":
                found = await find_revoked(self._reader, change.tenant_id, str(change.client_id))
                if found is not None:
                    self.ids[found[0]] = found[1]

    async def load(self) -> None:
        """For the feed, when changes may have been missed: read all of them."""
        found = await list_revoked(self._reader, self._clock.now_ms())
        self.ids.update(found)
        self.forget_expired()

    def forget_expired(self) -> None:
        """Let go of those whose life would be over anyway."""
        now_ms = self._clock.now_ms()
        for token_id in [token_id for token_id, expires_at in self.ids.items() if expires_at <= now_ms]:
            del self.ids[token_id]

    async def sweep(self, db: Database) -> None:
        """Forget the expired ones here and in the database."""
        self.forget_expired()
        now_ms = self._clock.now_ms()
        await db.write(lambda tx: drop_expired(tx, now_ms))


class RevocationService:
    """Ends single tokens. `catch_up` has this process take in every change made so far."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        guard: Guard,
        audit: AuditService,
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._catch_up = catch_up
        self._db = db
        self._clock = clock
        self._guard = guard
        self._audit = audit

    async def revoke(self, call: TokenCall) -> None:
        """End the token if it is one of the client's own. Returns once that is durable.

        Raises TokenRefusedError `token_type_unsupported` for a text that is no access token and is said to be of
        another type (RFC 7009 §2.2.1).
        """
        now_ms = self._clock.now_ms()
        try:
            caller = await self._guard.prove(call.token)
        except InvalidTokenError as error:
            if error.code == "token_malformed" and call.hint not in ("", "access_token"):
                raise _unsupported(call) from None
            await self._audit.record(call.record(REVOKE_ENDPOINT, now_ms, {EFFECT: "none: no living token of ours"}))
            return
        if caller.client_id != call.client.client_id:
            await self._audit.record(call.record(REVOKE_ENDPOINT, now_ms, {EFFECT: "none: another client's token"}))
            return
        await self._db.change(lambda tx: self._end(tx, call, caller, now_ms))
        await self._catch_up()  # whoever was answered must not see it accepted by the very process that answered

    async def _end(self, tx: Transaction, call: TokenCall, caller: Caller, now_ms: int) -> None:
        tenant_id, client_id = call.client.tenant.tenant_id, call.client.client_id
        revoked = await find_revoked(tx, tenant_id, caller.token_id) is None
        if revoked:
            expires_at = int(caller.expires_at) * 1000 + _SLACK_MS
            await add_revoked(tx, (tenant_id, caller.token_id, client_id, expires_at, now_ms))
            await append_change(tx, tenant_id, "token", caller.token_id, now_ms=now_ms)
        details: dict[str, str | int] = {
            "token_id": caller.token_id,
            EFFECT: "ended" if revoked else "none: ended before",
        }
        self._audit.record_in(tx, call.record(REVOKE_ENDPOINT, now_ms, details))


def _unsupported(call: TokenCall) -> TokenRefusedError:
    return TokenRefusedError(
        "token_type_unsupported",
        "There are only access tokens here; a token of another type cannot be revoked. Leave token_type_hint out.",
        check="token_form",
        expected="an access token",
        found="another text, said to be of another type",
        subject=subject_of(call.client, call.secret),
    )
