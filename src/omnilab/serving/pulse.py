"""Whether workers are alive: a counter for each, which grows once a second as long as its event loop turns.

In memory that is shared by fork, with the worker as the only writer: no lock, no descriptor, nothing to wait for.
"""

from __future__ import annotations

import mmap

_CELL_BYTES = 8


class Pulse:
    """The counters of all workers. Made by the parent before it forks."""

    def __init__(self, workers: int) -> None:
        self._beats = memoryview(mmap.mmap(-1, workers * _CELL_BYTES)).cast("Q")

    def beat(self, number: int) -> None:
        """The event loop of this worker turns."""
        self._beats[number] += 1

    def beats(self, number: int) -> int:
        return self._beats[number]
