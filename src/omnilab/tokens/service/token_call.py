"""A call about a token that is there already, once its caller is proved: what revoking and introspecting share."""

from __future__ import annotations

from typing import NamedTuple

from omnilab.audit.model import AuditRecord
from omnilab.tenancy.snapshot import ClientEntry, SecretEntry
from omnilab.tokens.model.request import TokenRequest


class TokenCall(NamedTuple):
    """Who asks (`request` has proved to be theirs), and the token it is about. Never shown: it holds the token."""

    client: ClientEntry
    secret: SecretEntry
    request: TokenRequest
    token: str
    hint: str

    def __repr__(self) -> str:
        return f"TokenCall(client_id={self.client.client_id!r}, token='**********')"

    def record(self, endpoint: str, at_ms: int, details: dict[str, str | int]) -> AuditRecord:
        """The record of an answered call."""
        return AuditRecord(
            request_id=self.request.request_id,
            occurred_at=at_ms,
            tenant_id=self.client.tenant.tenant_id,
            endpoint=endpoint,
            outcome="granted",
            tenant=self.client.tenant.tenant,
            client_id=self.client.client_id,
            secret_id=self.secret.secret_id,
            address=self.request.address or None,
            details=details,
            caller_request_id=self.request.caller_request_id,
        )
