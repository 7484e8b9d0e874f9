"""Reconciling a restored database: what was taken back since its backup is taken back again, and only then it serves.

Promises that a run which is interrupted leaves the database marked, that a second run completes it, and that the mark
goes in the transaction that records who reconciled it, with what and up to when. Uses the services' own verbs, so
every step leaves its own record and is announced to every process.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from omnilab.audit.model import Actor, AuditRecord
from omnilab.errors import ConflictError, ProvisioningError
from omnilab.installation import Installation
from omnilab.recovery.events import LOST, REPLAYED, read_events
from omnilab.recovery.replay import Replay
from omnilab.storage.backups import AWAITS_RECONCILE, Restored
from omnilab.storage.changes import append_change, restart_feed
from omnilab.storage.database import Transaction
from omnilab.storage.installation import find_value, remove_value, set_value
from omnilab.storage.tables import PLATFORM_TENANT
from omnilab.tenancy.model.moments import rfc3339

_AT_ONCE = 100
_RIGHTS = (
    "as at the backup: clients, tenants, grants and entitlements that were switched off since are on again. Nobody has "
    "a credential for them; look through omnilab access-report before handing out new ones."
)
_NAMED = 100


@dataclass(slots=True)
class Report:
    """What was done again (by verb), what nothing could be done about, and what is lost."""

    replayed: Counter[str] = field(default_factory=Counter)
    without_effect: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    lost_bookings: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {
            "replayed": dict(sorted(self.replayed.items())),
            "without_effect": dict(sorted(self.without_effect.items())),
            "lost": dict(sorted(self.lost.items())),
            "lost_bookings": self.lost_bookings[:_NAMED],
        }


class Reconciliation:
    """The verbs on a restored database. `actor`: who runs them."""

    def __init__(self, installed: Installation, actor: Actor) -> None:
        self._installed = installed
        self._actor = actor

    async def mark(self, taken_at: int) -> dict[str, Any]:
        """Mark a database that was restored by other means (a snapshot of the disk, point-in-time recovery)."""
        restored = Restored(taken_at, self._installed.clock.now_ms())
        text = msgspec.json.encode(restored).decode()

        async def unit(tx: Transaction) -> None:
            await set_value(tx, AWAITS_RECONCILE, text)
            # Processes that run already are of another past: they must start over, and find the mark.
            await restart_feed(tx, self._installed.db.dialect, now_ms=restored.restored_at)

        await self._installed.db.change(unit)
        return {"awaits_reconcile": True, "taken_at": rfc3339(taken_at)}

    async def from_export(self, file: Path, *, advance: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
        """Replay what an audit export, kept elsewhere, says was done since the backup.

        Raises ProvisioningError `not_restored`, `export_not_intact` or `export_too_old`, and UnavailableError.
        """
        installed, restored = self._installed, await self._restored()
        events = await asyncio.to_thread(
            read_events,
            file,
            installed.audit.public_key,
            taken_at=restored.taken_at,
            environment=installed.settings.environment,
            known=await installed.audit.chain_ends(),
        )
        report, replay = Report(), Replay(installed, self._actor)
        for event in events.records:
            if not await installed.audit.has(event.request_id):
                await self._take(replay, event, report)
            advance(1)
        await self._finish(
            {"export": file.name, "known_until": events.known_until, "replayed": report.replayed.total()}
        )
        return {"taken_at": rfc3339(restored.taken_at), "known_until": events.known_until, **report.document()}

    async def _take(self, replay: Replay, event: AuditRecord, report: Report) -> None:
        if event.endpoint in LOST:
            report.lost[event.endpoint] += 1
            if event.endpoint == "bookings:create":
                report.lost_bookings.append(str(event.details.get("booking_id")))
        if event.endpoint in REPLAYED:
            try:
                await replay.take(event)
            except (ProvisioningError, ConflictError):
                report.without_effect[event.endpoint] += 1  # what it was about is not in the backup at all
            else:
                report.replayed[event.endpoint] += 1

    async def revoke_all(self, since_ms: int, *, advance: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
        """Revoke all that may have been revoked since a time: every live secret, every token, every link.

        `since_ms`: milliseconds since 1970 UTC, not later than the backup. Raises ProvisioningError `not_restored` or
        `since_too_late`, and UnavailableError.
        """
        restored = await self._restored()
        if since_ms > restored.taken_at:
            raise ProvisioningError(
                "since_too_late",
                f"The backup was made at {rfc3339(restored.taken_at)}: what was taken back between then and the time "
                "given would come to life again. Give a time not later than that.",
            )
        installed, actor = self._installed, self._actor
        await installed.keys.rotate(actor=actor, at_once=True, revoke_old=True)
        # The keys that were to come next lay in the backup too: whoever has it has them.
        await installed.keys.rotate(actor=actor, at_once=True, revoke_old=True)
        links = await installed.tenancy.hand_offs.end_all()
        live = await installed.tenancy.secrets.list_unrevoked()
        for first in range(0, len(live), _AT_ONCE):
            page = live[first : first + _AT_ONCE]
            await asyncio.gather(*(installed.tenancy.secrets.revoke(*each, actor=actor) for each in page))
            advance(len(page))
        done: dict[str, str | int] = {"since": str(rfc3339(since_ms)), "secrets": len(live), "links": links}
        await self._finish(done)
        return {"taken_at": rfc3339(restored.taken_at), "revoked": done | {"tokens": "all"}, "rights": _RIGHTS}

    async def _restored(self) -> Restored:
        text = await find_value(self._installed.db, AWAITS_RECONCILE)
        if text is None:
            raise ProvisioningError(
                "not_restored",
                "This database is not marked as restored: there is nothing to reconcile. After a restore by other "
                "means than omnilab db restore, run omnilab db mark-restored --taken-at TIME first.",
            )
        return msgspec.json.decode(text, type=Restored)

    async def _finish(self, details: dict[str, str | int]) -> None:
        installed = self._installed
        record = AuditRecord(
            request_id=installed.ids(),
            occurred_at=installed.clock.now_ms(),
            tenant_id=PLATFORM_TENANT,
            endpoint="db:reconcile",
            outcome="granted",
            details=details,
            actor=self._actor,
        )

        async def unit(tx: Transaction) -> None:
            await remove_value(tx, AWAITS_RECONCILE)
            await append_change(tx, PLATFORM_TENANT, "tenant", now_ms=record.occurred_at)
            installed.audit.record_in(tx, record)

        await installed.db.change(unit)
