"""The report of access: who holds what, last used when, and what nobody has used for long. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.model.nouns import Client, ClientSecret
from omnilab.tenancy.service.documents import Document, secret_document
from omnilab.tenancy.service.finding import get_tenant
from omnilab.tenancy.service.means import Means
from omnilab.tenancy.store.clients import ClientDirectory
from omnilab.tenancy.store.secrets import SecretReader

UNUSED_DAYS = 90
_DAY_MS = 86_400_000
_OF_SECRET = ("secret_id", "label", "status", "created_at", "expires_at", "exposed_at", "last_used_at", "last_address")


class Reports:
    """What a review of access asks for."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def access(
        self, *, tenant: str | None, unused_days: int = UNUSED_DAYS, advance: Callable[[int], None] = lambda _: None
    ) -> Document:
        """Every client with its rights and living secrets, and whether it, or a secret, was unused for so long.

        Raises ProvisioningError `tenant_unknown`.
        """
        db, now_ms = self._means.db, self._means.clock.now_ms()
        tenant_id = None if tenant is None else (await get_tenant(db, tenant)).tenant_id
        before_ms = now_ms - unused_days * _DAY_MS
        rows = []
        for client in await ClientDirectory(db).list_all(tenant_id=tenant_id):
            secrets = await SecretReader(db, client.tenant_id).list_all(client.client_id)
            rows.append(_row(client, secrets, now_ms=now_ms, before_ms=before_ms))
            advance(1)
        return {
            "at": rfc3339(now_ms),
            "unused_days": unused_days,
            "clients": rows,
            "unused_clients": sum(bool(row["unused"]) for row in rows),
        }


def _row(client: Client, secrets: Iterable[ClientSecret], *, now_ms: int, before_ms: int) -> Document:
    secrets = list(secrets)
    last_used_at = max((each.last_used_at or 0 for each in secrets), default=0)
    return {
        "tenant": client.tenant,
        "client_id": client.client_id,
        "name": client.name,
        "partner": client.partner,
        "technical_contact": client.technical_contact,
        "status": client.status,
        "allowed": client.allowed,
        "last_used_at": rfc3339(last_used_at or None),
        "unused": max(last_used_at, client.created_at) < before_ms,
        "secrets": [
            _secret_row(client, each, now_ms=now_ms, before_ms=before_ms) for each in secrets if each.revoked_at is None
        ],
    }


def _secret_row(client: Client, secret: ClientSecret, *, now_ms: int, before_ms: int) -> Document:
    document = secret_document(client, secret, now_ms)
    unused = max(secret.last_used_at or 0, secret.created_at) < before_ms
    return {name: document[name] for name in _OF_SECRET} | {"use_count": secret.use_count, "unused": unused}
