"""Of which tests branch coverage is measured.

A program that is measured takes twice as long, so the others do not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import coverage

# The houses' own tests hold the floor; the others ask about something else.
_MEASURED = tuple(f"tests/{name}/" for name in ("audit", "bookings", "cli", "guard", "tenancy", "tokens", "words"))


def is_measured(node_id: str) -> bool:
    """Whether a test, by its id, or what it starts is measured."""
    return node_id.startswith(_MEASURED)


@contextmanager
def measured_as(node_id: str) -> Iterator[None]:
    """Measure this process during a test or a module, or do not."""
    measuring = None if is_measured(node_id) else coverage.Coverage.current()
    if measuring is None:
        yield
        return
    measuring.stop()
    try:
        yield
    finally:
        measuring.start()
