"""Of which tests branch coverage is measured.

A program that is measured takes twice as long, so the others do not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import coverage

# They are about something else than what the houses decide, or kill what was measured.
_UNMEASURED = tuple(
    f"tests/{name}"
    for name in (
        "attacks/test_schemathesis.py", "cli/test_demo.py", "client/", "cluster/", "db/", "deploy/", "helpcenter/",
        "scan/", "serving/", "snippets/", "system/test_kill_under_load.py", "system/test_rotation_under_load.py",
        "telemetry/",
    )
)  # fmt: skip


def is_measured(node_id: str) -> bool:
    """Whether a test, by its id, or what it starts is measured."""
    return not node_id.startswith(_UNMEASURED)


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
