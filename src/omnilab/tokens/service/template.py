"""What is the same for every token of one tenant, audience and scope: made once, kept with the tenant's entry.

Promises that what is kept is bounded for the whole process and holds no secret. Must not decide anything.
"""

from __future__ import annotations

from collections import deque

from omnilab.audit.model import TOKEN_ENDPOINT, AuditRecord, RecordTemplate
from omnilab.tenancy.snapshot import TenantEntry
from omnilab.tokens.model.claims import fixed_claims
from omnilab.tokens.model.decision import Right
from omnilab.tokens.model.request import TokenRequest

# About 1 kB each, 8 MB a worker at most; one that is not kept costs 15 µs.
KEPT_TEMPLATES = 8_000


class TokenTemplate:
    """The parts of one kind of token, its answer and its record."""

    __slots__ = ("_record", "_tail", "algorithm", "claims", "lifetime_seconds")

    def __init__(self, claims: bytes, record: AuditRecord, right: Right) -> None:
        self.algorithm = right.audience.algorithm
        self.lifetime_seconds = right.audience.lifetime_seconds
        self.claims = claims
        self._record = RecordTemplate(record, "client_id")
        self._tail = _answer_tail(right)

    def answer(self, token: bytes) -> bytes:
        """The whole answer: exactly three fields, and `scope` only where one was asked for."""
        return b'{"access_token":"' + token + self._tail

    def audit_body(self, request: TokenRequest, now_ms: int, client_id: str, secret_id: str) -> bytes:
        """The text of the record that this token was granted. client_id: as it stands between quotes in JSON."""
        # These three stand side by side in every record.
        caller = f'{client_id}","secret_id":"{secret_id}","address":"{request.address}'
        return self._record.fill(request.request_id, now_ms, caller)


class TokenTemplates:
    """Makes templates, and keeps so many at most in the `memo` of entries of the snapshot."""

    def __init__(self, issuer: str, *, kept: int = KEPT_TEMPLATES) -> None:
        self._issuer = issuer
        self._limit = kept
        self._kept: deque[tuple[dict[object, object], object]] = deque()

    def make(self, tenant: TenantEntry, right: Right) -> TokenTemplate:
        """A template for what was decided."""
        record = AuditRecord(
            request_id="",
            occurred_at=0,
            tenant_id=tenant.tenant_id,
            endpoint=TOKEN_ENDPOINT,
            outcome="granted",
            tenant=tenant.tenant,
            client_id="",  # secret and address follow it
            details={"audience": right.audience.audience, "scope": right.scope},
        )
        return TokenTemplate(fixed_claims(self._issuer, tenant.tenant, right), record, right)

    def keep(self, memo: dict[object, object], key: object, template: TokenTemplate) -> None:
        """Keep a template in a memo; the oldest one kept makes room."""
        if len(self._kept) >= self._limit:
            oldest, its_key = self._kept.popleft()
            oldest.pop(its_key, None)
        memo[key] = template
        self._kept.append((memo, key))


def _answer_tail(right: Right) -> bytes:
    """What follows the token. A scope is made of endpoint names: nothing in it to escape."""
    scope = b',"scope":"%b"' % right.scope.encode() if right.asked else b""
    return b'","token_type":"Bearer","expires_in":%d%b}' % (right.audience.lifetime_seconds, scope)
