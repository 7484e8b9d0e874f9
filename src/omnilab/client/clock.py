"""The island's clock and its chance, so that all else takes both from here. Never the wall clock.

A machine whose date is wrong works all the same: the age of a token is counted from the moment it was asked for, on
a clock that cannot be set, by the `expires_in` of the answer.
"""

from __future__ import annotations

import os
import time

# Counts the time a machine sleeps too, where there is such a clock (Linux): a token ages in a suspended laptop as well.
_CLOCK_ID: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """Seconds that never jump, and random numbers. Replaced in tests."""

    def now(self) -> float:
        """Seconds since some moment in the past, the same for every process until the machine starts anew."""
        return time.clock_gettime(_CLOCK_ID)

    def chance(self, low: float, high: float) -> float:
        """A number between the two, evenly."""
        return low + (high - low) * (int.from_bytes(os.urandom(6)) / 2**48)


def new_key() -> str:
    """A new idempotency key: 128 random bits."""
    return os.urandom(16).hex()


def random_bytes(count: int) -> bytes:
    """For salts and nonces."""
    return os.urandom(count)
