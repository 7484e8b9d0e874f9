"""The rule behind the warnings of expiry."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from omnilab.tenancy.model.expiry import DAY_MS, WARNING_DAYS, warning_due


@given(lifetime_ms=st.integers(1, 60 * DAY_MS), steps=st.lists(st.integers(1, 40 * DAY_MS), max_size=12))
def test_each_warning_is_given_at_most_once_and_never_late(lifetime_ms: int, steps: list[int]) -> None:
    now_ms, given_days, warned = 0, [], None
    for step in [0, *steps]:
        now_ms += step
        due = warning_due(lifetime_ms, warned, now_ms)
        left_ms = lifetime_ms - now_ms
        if due is not None:
            assert 0 < left_ms <= due * DAY_MS
            given_days.append(due)
            warned = due
        elif 0 < left_ms <= WARNING_DAYS[0] * DAY_MS:
            assert warned is not None
            assert not [days for days in WARNING_DAYS if days < warned and left_ms <= days * DAY_MS]
    assert given_days == sorted(set(given_days), reverse=True)
