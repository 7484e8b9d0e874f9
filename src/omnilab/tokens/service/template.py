"""What is the same for every token of one client, secret, audience and scope: made once, kept with the client's entry.

Promises that what is kept is bounded for the whole process and holds no secret. Must not decide anything.
"""

from __future__ import annotations

from collections import deque

import msgspec

from omnilab.audit.model import TOKEN_ENDPOINT, AuditRecord, RecordTemplate, decode
from omnilab.errors import Subject
from omnilab.tenancy.model.expiry import TOLD_BEFORE_MS
from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.snapshot import ClientEntry, SecretEntry
from omnilab.tokens.model.claims import fixed_claims
from omnilab.tokens.model.decision import Right
from omnilab.tokens.model.request import TokenRequest

# About 1.5 kB each, 6 MB a worker at most; one that is not kept costs 10 µs.
KEPT_TEMPLATES = 4_000


class TokenTemplate:
    """The parts of one kind of token, its answer and its record."""

    __slots__ = (
        "_record", "_tail", "algorithm", "claims", "lifetime_seconds", "secret_expires", "secret_told_from_ms",
        "subject",
    )  # fmt: skip

    def __init__(self, claims: bytes, record: AuditRecord, right: Right, secret_expires_at: int | None) -> None:
        self.algorithm = right.audience.algorithm
        self.lifetime_seconds = right.audience.lifetime_seconds
        self.claims = claims
        self.subject = Subject(record.tenant_id, str(record.tenant), str(record.client_id), record.secret_id)
        self._record = RecordTemplate(record, "address")
        self._tail = _answer_tail(right)
        # The header of answers from then on; a template lives no longer than what is known of its secret.
        self.secret_told_from_ms = float("inf") if secret_expires_at is None else secret_expires_at - TOLD_BEFORE_MS
        self.secret_expires = (b"omnilab-secret-expires", (rfc3339(secret_expires_at) or "").encode())

    def answer(self, token: bytes) -> bytes:
        """The whole answer: exactly three fields, and `scope` only where one was asked for."""
        return b'{"access_token":"' + token + self._tail

    def audit_body(self, request: TokenRequest, now_ms: int) -> bytes:
        """The text of the record that this token was granted."""
        return self._record.fill(request.request_id, now_ms, request.address)

    def audit_record(self, request: TokenRequest, now_ms: int) -> AuditRecord:
        """The same with the caller's own request id, which is a quoted value and must be masked."""
        record = decode(self.audit_body(request, now_ms))
        return msgspec.structs.replace(record, caller_request_id=request.caller_request_id)


class TokenTemplates:
    """Makes templates, and keeps so many at most in the `memo` of their clients' entries."""

    def __init__(self, issuer: str, *, kept: int = KEPT_TEMPLATES) -> None:
        self._issuer = issuer
        self._limit = kept
        self._kept: deque[tuple[dict[object, object], object]] = deque()

    def make(self, client: ClientEntry, secret: SecretEntry, right: Right) -> TokenTemplate:
        """A template for what was decided."""
        record = AuditRecord(
            request_id="",
            occurred_at=0,
            tenant_id=client.tenant.tenant_id,
            endpoint=TOKEN_ENDPOINT,
            outcome="granted",
            tenant=client.tenant.tenant,
            client_id=client.client_id,
            secret_id=secret.secret_id,
            address="",
            details={"audience": right.audience.audience, "scope": right.scope},
        )
        return TokenTemplate(fixed_claims(self._issuer, client, secret, right), record, right, secret.expires_at)

    def keep(self, memo: dict[object, object], key: object, template: TokenTemplate) -> None:
        """Keep a template in its client's memo; the oldest one kept makes room."""
        if len(self._kept) >= self._limit:
            oldest, its_key = self._kept.popleft()
            oldest.pop(its_key, None)
        memo[key] = template
        self._kept.append((memo, key))


def _answer_tail(right: Right) -> bytes:
    """What follows the token. A scope is made of endpoint names: nothing in it to escape."""
    scope = b',"scope":"%b"' % right.scope.encode() if right.asked else b""
    return b'","token_type":"Bearer","expires_in":%d%b}' % (right.audience.lifetime_seconds, scope)
