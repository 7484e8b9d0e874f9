"""How long to wait before the next attempt: full jitter, `Retry-After` obeyed, and never beyond the time there is."""

from __future__ import annotations

from omnilab.client.clock import Clock

FIRST_SECONDS = 0.25
MOST_SECONDS = 8.0


def pause_before(
    attempt: int, *, retry_after_seconds: float | None, clock: Clock, deadline: float, now: float | None = None
) -> float | None:
    """Seconds to wait before repetition `attempt` (from 0), or None where the time is up.

    Full jitter spreads callers that failed together. A `Retry-After` is a lower bound: nobody comes earlier, and not
    all at the same moment.
    """
    span = min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(attempt, 10))
    if retry_after_seconds is None:
        pause = clock.chance(0.0, span)
    else:
        pause = retry_after_seconds + clock.chance(0.0, min(span, 1.0))
    moment = clock.now() if now is None else now
    return pause if moment + pause < deadline else None
