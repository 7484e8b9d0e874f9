"""Says in the log that something began to fail, and why, and once more that it succeeds again.

Promises two lines for each such time, however many thousand failures it has: an outage must not fill a disk.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

_log = structlog.get_logger("omnilab.troubles")


class Trouble:
    """One thing that can fail. name: the events are `<name>_failing` and `<name>_mended`. reason: why it failed when it
    was last tried, empty where it succeeded."""

    def __init__(self, name: str, reason: Callable[[], str]) -> None:
        self._name = name
        self._reason = reason
        self._failing = False

    def look(self) -> None:
        """Called from time to time; what came and went between two looks is not told."""
        reason = self._reason()
        if reason and not self._failing:
            _log.error(f"{self._name}_failing", reason=reason)
        elif self._failing and not reason:
            _log.warning(f"{self._name}_mended")
        self._failing = bool(reason)
