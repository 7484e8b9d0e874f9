"""The months that audit records are kept by on PostgreSQL: names and bounds. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from omnilab.audit.model.record import request_id_floor


class Month(NamedTuple):
    """A month's table, its first request id, and the first one that is no longer in it."""

    table: str
    first: str
    end: str


def months_from(now_ms: int, count: int) -> list[Month]:
    """This month and those after it, `count` in all. `now_ms`: milliseconds since 1970 UTC; months are UTC's."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    numbers = [now.year * 12 + now.month - 1 + ahead for ahead in range(count + 1)]
    starts = [datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in numbers]
    floors = [request_id_floor(int(start.timestamp() * 1000)) for start in starts]
    return [
        Month(f"audit_records_{start:%Y_%m}", first, end)
        for start, first, end in zip(starts, floors, floors[1:], strict=False)
    ]


def floor_time(floor: str) -> int:
    """The time (ms) of a bound that `request_id_floor` made."""
    return int(floor.replace("-", "")[:12], 16)
