"""The island's two clocks, so that the rest of it takes the time as an argument. Knows nothing of tokens."""

from __future__ import annotations

import time


def wall_seconds() -> float:
    """Seconds since 1970 UTC: what `exp`, `nbf` and `iat` are compared with."""
    return time.time()


def monotonic_seconds() -> float:
    """Seconds that never jump: what the age of fetched keys is measured with."""
    return time.monotonic()
