"""Secrets that will expire: warned of once each, and listed with whom to tell."""

from __future__ import annotations

from omnilab.audit.model import AuditRecord
from omnilab.storage.database import Transaction
from omnilab.tenancy.model.expiry import TOLD_BEFORE_MS, ExpiringSecret, expiry_mail, warning_due
from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.service.documents import Document
from omnilab.tenancy.service.means import Means
from omnilab.tenancy.store.expiring import list_expiring, note_warned


class Expiry:
    """What is about to expire. Expiry itself needs no hand: an expired secret gets no tokens."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def list_all(self, within_seconds: int) -> list[Document]:
        """Live secrets that expire within so many seconds, the first to expire first, each with a text to send."""
        now_ms = self._means.clock.now_ms()
        found = await list_expiring(self._means.db, now_ms, now_ms + within_seconds * 1000)
        return [_document(each, now_ms, self._means.place.environment) for each in found]

    async def warn(self) -> list[Document]:
        """Give the warnings that are due, each with its audit record; of several processes one gives each."""
        now_ms = self._means.clock.now_ms()
        due = [
            (secret, days, self._means.ids())
            for secret in await list_expiring(self._means.db, now_ms, now_ms + TOLD_BEFORE_MS)
            if (days := warning_due(secret.expires_at, secret.warned_days, now_ms)) is not None
        ]

        async def unit(tx: Transaction) -> list[ExpiringSecret]:
            given = []
            for secret, days, request_id in due:
                if await note_warned(tx, secret, days):
                    self._means.audit.record_in(tx, _record(secret, days, request_id, now_ms))
                    given.append(secret)
            return given

        given = await self._means.db.write(unit) if due else []
        return [_document(each, now_ms, self._means.place.environment) for each in given]


def _record(secret: ExpiringSecret, days: int, request_id: str, now_ms: int) -> AuditRecord:
    return AuditRecord(
        request_id=request_id,
        occurred_at=now_ms,
        tenant_id=secret.tenant_id,
        endpoint="secrets:expiring",
        outcome="granted",
        tenant=secret.tenant,
        client_id=secret.client_id,
        secret_id=secret.secret_id,
        details={"warning_days": days, "expires_at": secret.expires_at},
    )


def _document(secret: ExpiringSecret, now_ms: int, environment: str) -> Document:
    return {
        "secret_id": secret.secret_id,
        "client_id": secret.client_id,
        "tenant": secret.tenant,
        "name": secret.client_name,
        "technical_contact": secret.technical_contact,
        "label": secret.label,
        "expires_at": rfc3339(secret.expires_at),
        "days_left": secret.days_left(now_ms),
        "last_used_at": rfc3339(secret.last_used_at),
        "successor": secret.successor,
        "text": expiry_mail(secret, environment),
    }
