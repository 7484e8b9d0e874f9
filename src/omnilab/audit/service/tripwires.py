"""Tripwires: which refusal is news. A caller that goes on and on is one event an hour, not one a request.

Promises a bound on what is remembered. Each process remembers for itself, so at most as many events an hour as there
are processes.
"""

from __future__ import annotations

from collections import OrderedDict

from omnilab.audit.model.events import event_of_refusal

QUIET_MS = 3_600_000
_REMEMBERED = 10_000


class Tripwires:
    """What was told lately."""

    def __init__(self, *, remembered: int = _REMEMBERED) -> None:
        self._told: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._remembered = remembered

    def marks(self, code: str, *, proved: bool, whose: str, address_group: str, now_ms: int) -> dict[str, str | int]:
        """What marks the record of this refusal as an event; nothing for one that is none or was told lately.

        whose: the secret's id, or what stands for a claimed client.
        """
        event = event_of_refusal(code, proved=proved)
        if event is None:
            return {}
        key = (event.name, whose, address_group)
        told_at = self._told.get(key)
        if told_at is not None and now_ms - told_at < QUIET_MS:
            return {}
        self._told[key] = now_ms
        self._told.move_to_end(key)
        if len(self._told) > self._remembered:
            self._told.popitem(last=False)
        return event.marks
