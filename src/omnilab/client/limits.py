"""What answers say of the quota: `RateLimit` (IETF draft) and `Retry-After`. Holds calls back that would be refused.

One call that is told to wait is enough: the others of the same client do not have to be told too. A wait that is
longer than a call has time is not made; the call is sent and the platform decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from omnilab.client.clock import Clock
from omnilab.client.effects import Flow, Pause

_ITEM = re.compile(r'"([^"]{1,40})"\s*;\s*r=(\d{1,15})\s*;\s*t=(\d{1,9})')
_SPREAD_SECONDS = 0.5


class Limit(NamedTuple):
    """What was left of one quota (`client` or `tenant`) when the last answer came."""

    name: str
    remaining: int
    resets_in_seconds: int


class Limits:
    """The quota of one client, as last told."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told = ""
        self.hold_until = 0.0

    def note(self, headers: Mapping[str, str]) -> None:
        """Take what an answer says."""
        told = headers.get("ratelimit")
        if told is None:
            return
        self._told = told
        if ";r=0;" in told:
            waits = [limit.resets_in_seconds for limit in self.told() if limit.remaining == 0]
            self.refused(float(max(waits, default=0)))

    def refused(self, wait_seconds: float) -> None:
        """A call was told to come back later."""
        self.hold_until = max(self.hold_until, self._clock.now() + wait_seconds)

    def told(self) -> list[Limit]:
        """What the last answer said; empty where nothing is limited."""
        return [Limit(name, int(left), int(seconds)) for name, left, seconds in _ITEM.findall(self._told)]

    def hold(self, now: float, deadline: float) -> Flow[None]:
        """Wait until there is room again, if that is in time."""
        if now < self.hold_until < deadline:
            yield Pause(min(self.hold_until - now + self._clock.chance(0.0, _SPREAD_SECONDS), deadline - now))
