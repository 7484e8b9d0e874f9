"""Times as people and files write them, to and from milliseconds since 1970 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from omnilab.tenancy.model.rules import RuleError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FORM = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d))?")


def rfc3339(at_ms: int | None) -> str | None:
    """RFC 3339 in UTC; a fraction only where there is one."""
    if at_ms is None:
        return None
    moment = _EPOCH + at_ms * _MILLISECOND
    fraction = f".{at_ms % 1000:03d}" if at_ms % 1000 else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def moment_ms(text: str) -> int:
    """Read RFC 3339, or a bare date as its first moment in UTC. Raises RuleError."""
    wanted = RuleError("time_invalid", "A time is written like 2027-01-31T00:00:00Z (RFC 3339), or as a date.")
    if not _FORM.fullmatch(text):
        raise wanted
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise wanted from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
