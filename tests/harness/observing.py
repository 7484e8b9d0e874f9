"""What tests saw and a reader of their output wants to see too: figures and rows of tables, shown at the end."""

from __future__ import annotations

import pytest

_NAME = "observed"
_noted: list[str] = []


def note(line: str) -> None:
    """Have this line shown at the end of the run, beside others of its test."""
    _noted.append(line)


def hand_on(item: pytest.Item) -> None:
    """Give what was noted to the report of this test: with pytest-xdist the end is told by another process."""
    item.user_properties += [(_NAME, line) for line in _noted]
    _noted.clear()


def noted_in(report: object) -> list[str]:
    """The lines of one report. Each test has three; its last one has them all."""
    if getattr(report, "when", None) != "teardown":
        return []
    return [str(value) for name, value in getattr(report, "user_properties", ()) if name == _NAME]
