"""A secret that others may know: ended at once, a new one by hand-off, and all that it was used for."""

from __future__ import annotations

from typing import Protocol

from omnilab.audit.model import Actor
from omnilab.tenancy.model.expiry import compromised_mail
from omnilab.tenancy.model.moments import moment_ms, rfc3339
from omnilab.tenancy.model.orders import Rotation
from omnilab.tenancy.service.documents import Document
from omnilab.tenancy.service.finding import get_client
from omnilab.tenancy.service.hand_offs import HandOffs
from omnilab.tenancy.service.means import Means
from omnilab.tenancy.service.secrets import Secrets


class Report(Protocol):
    """What `audit` adds up of one credential."""

    more: bool

    def present(self) -> list[dict[str, str | int]]: ...


class Reporter(Protocol):
    """What this asks of the audit."""

    async def report_secret(self, tenant: str, secret_id: str, since_ms: int) -> Report: ...


class Compromise:
    """The one verb for a leak. Each step can be repeated: what was revoked stays so, and a second link does no harm."""

    def __init__(self, means: Means, secrets: Secrets, hand_offs: HandOffs, reporter: Reporter) -> None:
        self._means = means
        self._secrets = secrets
        self._hand_offs = hand_offs
        self._reporter = reporter

    async def handle(self, client_id: str, secret_id: str, *, since_ms: int | None, actor: Actor) -> Document:
        """Revoke, offer a link, report since a time (default: since the secret was made), and a text to send."""
        revoked = await self._secrets.revoke(client_id, secret_id, actor=actor)
        client = await get_client(self._means.db, client_id)
        link = await self._hand_offs.offer(client_id, Rotation(label=None), actor=actor)
        since = moment_ms(str(revoked["created_at"])) if since_ms is None else since_ms
        report = await self._reporter.report_secret(client.tenant, secret_id, since)
        calls = [_with_times(each) for each in report.present()]
        mail = compromised_mail(
            client=client.name,
            client_id=client_id,
            secret_id=secret_id,
            revoked_at=moment_ms(str(revoked["revoked_at"])),
            environment=self._means.place.environment,
        )
        kept = {name: revoked[name] for name in ("secret_id", "tenant", "revoked_at", "exposed_at", "changed")}
        return (
            link
            | kept
            | {
                "technical_contact": client.technical_contact,
                "since": rfc3339(since),
                "addresses": sorted({str(each["address"]) for each in calls}),
                "calls": calls,
                "calls_cut": report.more,
                "text": mail,
            }
        )


def _with_times(row: dict[str, str | int]) -> dict[str, object]:
    return row | {name: rfc3339(int(row[name])) for name in ("first_at", "last_at")}
