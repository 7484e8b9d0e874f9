"""Whose trace a request belongs to (W3C Trace Context), and whether it becomes a span. Pure.

Promises that nothing a caller sends can make more requests be traced than the share asked for: the choice falls by the
request id, which is ours and random, never by the caller's trace id. `tracestate` is not read: it may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# §3.2.2: version 00 ends after the flags; a later one may go on after a dash.
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_RANDOM_BITS = 48  # of a UUIDv7, the twelve hexadecimal digits at its end


class Parent(NamedTuple):
    """The caller's span. sampled: whether the caller keeps it."""

    trace_id: int
    span_id: int
    sampled: bool


def find_parent(values: Sequence[bytes]) -> Parent | None:
    """What the `traceparent` headers of a request name; None where there is none, several, or a malformed one."""
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    trace_id, span_id = int(found[2], 16), int(found[3], 16)
    if not trace_id or not span_id:  # §3.2.2.3 and §3.2.2.4: all zeros are no id
        return None
    return Parent(trace_id, span_id, bool(int(found[4], 16) & _SAMPLED))


def in_share(request_id: str, ratio: float) -> bool:
    """Whether this request belongs to the share `ratio` (from 0 to 1) of all that is traced. The same on every node."""
    return int(request_id[-_RANDOM_BITS // 4 :], 16) < ratio * (1 << _RANDOM_BITS)
