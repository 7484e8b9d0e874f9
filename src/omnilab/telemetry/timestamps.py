"""Times of log lines: RFC 3339 in UTC with milliseconds. Reads no clock; the time comes in as an argument."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=8)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=8)  # under load many lines fall into one millisecond
def log_time(now_ms: int) -> str:
    """`now_ms` (since 1970, UTC) as `2026-12-01T10:00:00.123Z`."""
    seconds, milliseconds = divmod(now_ms, 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}Z"
