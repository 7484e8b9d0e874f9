"""Keeping feedback within bounds, and listing it."""

from __future__ import annotations

from collections import Counter

from omnilab.clock import Clock
from omnilab.crypto.random import new_id
from omnilab.errors import LimitError
from omnilab.feedback.store import Entry, insert_entry, newest_entries, prune_entries
from omnilab.storage.database import Database
from omnilab.telemetry.redaction import mask
from omnilab.telemetry.timestamps import log_time

PER_ADDRESS_PER_MINUTE = 5
PER_MINUTE = 60
_KEPT_MS = 400 * 86_400_000


class FeedbackService:
    """The verbs on feedback. The bounds are this process's own, and nobody's address outlives its minute."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._minute = -1
        self._from: Counter[str] = Counter()

    async def keep(self, page: str, *, helpful: bool, comment: str, address: str) -> None:
        """Keep one reader's word; credentials in the comment are masked. address: whose share of the bound it takes.

        Raises LimitError when there was too much of it within this minute, and UnavailableError.
        """
        now_ms = self._clock.now_ms()
        self._count(address, now_ms)
        text = mask(comment) or None
        entry = Entry(new_id("fbk_"), page, int(helpful), text, now_ms)
        await self._db.write(lambda tx: insert_entry(tx, entry))

    def _count(self, address: str, now_ms: int) -> None:
        minute, passed_ms = divmod(now_ms, 60_000)
        if minute != self._minute:
            self._minute = minute
            self._from.clear()
        if self._from[address] >= PER_ADDRESS_PER_MINUTE or self._from.total() >= PER_MINUTE:
            wait = max(1, (60_000 - passed_ms) // 1000)
            raise LimitError(
                "quota_exceeded",
                f"There was too much feedback within this minute; send yours again in {wait} s.",
                retry_after_seconds=wait,
                check="quota",
                expected=f"at most {PER_ADDRESS_PER_MINUTE} from one address and {PER_MINUTE} in all within a minute",
                found="one more",
            )
        self._from[address] += 1

    async def list(self, *, since_ms: int = 0, at_most: int = 100) -> list[dict[str, object]]:
        """What was kept since a time, the newest first."""
        return [_document(each) for each in await newest_entries(self._db, since_ms=since_ms, at_most=at_most)]

    async def prune(self) -> None:
        """Forget what is older than 400 days."""
        before_ms = self._clock.now_ms() - _KEPT_MS
        await self._db.write(lambda tx: prune_entries(tx, before_ms))


def _document(entry: Entry) -> dict[str, object]:
    return {
        "feedback_id": entry.feedback_id,
        "page": entry.page,
        "helpful": bool(entry.helpful),
        "comment": entry.comment,
        "created_at": log_time(entry.created_at),
    }
