"""Counters in this process's memory: one window for each client and tenant that calls.

Promises a bound on the number of windows and no work in the background. It does what `limits`' own fixed window over
its memory store does, decision for decision (a test holds the two equal), and stands in place of it for reasons
measured here: charging two counters and saying what remains of them costs 4.5 µs against 22 µs; `limits` starts a
timer thread as often as every 10 ms that walks all keys, which a process that forks and counts 100,000 clients cannot
have; and it reads the clock by itself. With Redis `limits` does the counting.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from omnilab.quotas.model import Quota

MAX_WINDOWS = 500_000


class Window:
    """Calls counted since a window opened. `closes_at` is monotonic seconds."""

    __slots__ = ("closes_at", "count", "quota")

    def __init__(self, quota: Quota, closes_at: float) -> None:
        self.count = 0
        self.quota = quota
        self.closes_at = closes_at

    @property
    def remaining(self) -> int:
        return max(0, self.quota.amount - self.count)

    def standing(self, now: float) -> tuple[int, int]:
        """How many calls remain, and the whole seconds until the window closes."""
        return max(0, self.quota.amount - self.count), max(1, ceil(self.closes_at - now))


class MemoryWindows:
    """The open windows by client or tenant id, at most `max_windows` of them.

    Only proved clients have windows, so strangers cannot fill it. Above the bound the one that opened first is
    forgotten: its client may then call more than its quota, and none is ever refused wrongly.
    """

    __slots__ = ("_max_windows", "_windows")

    def __init__(self, max_windows: int = MAX_WINDOWS) -> None:
        self._windows: OrderedDict[str, Window] = OrderedDict()
        self._max_windows = max_windows

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, key: str, quota: Quota, now: float) -> Window:
        """The open window; opened now where there is none."""
        window = self._windows.get(key)
        if window is not None and window.quota is quota and now < window.closes_at:  # nearly always
            return window
        return self.find(key, quota, now) or self.open(key, quota, now)

    def find(self, key: str, quota: Quota, now: float) -> Window | None:
        """The open window, or None when the next call opens one: a changed quota counts on if it is as long."""
        window = self._windows.get(key)
        if window is None or now >= window.closes_at:
            return None
        if window.quota is not quota:
            if window.quota.window_seconds != quota.window_seconds:
                return None
            window.quota = quota
        return window

    def open(self, key: str, quota: Quota, now: float) -> Window:
        """A new window in place of whatever was there."""
        window = Window(quota, now + quota.window_seconds)
        self._windows[key] = window
        self._windows.move_to_end(key)
        # Two are looked at for each that opens, so closed ones go at least as fast as new ones come.
        self._look_at_oldest(now)
        self._look_at_oldest(now)
        if len(self._windows) > self._max_windows:
            self._windows.popitem(last=False)
        return window

    def _look_at_oldest(self, now: float) -> None:
        key, window = next(iter(self._windows.items()))
        if now >= window.closes_at:
            del self._windows[key]
        elif window.closes_at - now > 60:
            # A long window must not hide closed ones behind it for hours.
            self._windows.move_to_end(key)
