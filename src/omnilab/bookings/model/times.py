"""RFC 3339 times, to and from whole milliseconds since 1970 UTC.

Promises exact round trips for the years 1 to 9999 and knows nothing of clocks or time zones but the offset in the text.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_HOUR_MS = 3_600_000
_SECONDS_OF_HOUR = [f"{second // 60:02}:{second % 60:02}" for second in range(3600)]
_FRACTIONS = ["Z", *(f".{ms:03}Z" for ms in range(1, 1000))]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_EARLIEST_MS = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND
_LATEST_MS = (datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC) - _EPOCH) // _MILLISECOND

# RFC 3339 §5.6. The separator may be lower case or a space; seconds may be 60 in a leap second.
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_LOST_PLUS = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:\d\d)\Z", re.ASCII)


@lru_cache(maxsize=4_096)
def _hour_text(hour: int) -> str:
    day, hour_of_day = divmod(hour, 24)
    # isoformat pads the year to four digits; strftime("%Y") does not on every platform.
    return f"{date.fromordinal(_EPOCH_DAY + day).isoformat()}T{hour_of_day:02}:"


def time_text(at_ms: int) -> str:
    """The time as RFC 3339 in UTC, with milliseconds only where there are some: `2026-12-01T10:00:00Z`.

    Put together from its parts: a fraction of what `datetime` takes.
    """
    hour, rest = divmod(at_ms, _HOUR_MS)
    return f"{_hour_text(hour)}{_SECONDS_OF_HOUR[rest // 1000]}{_FRACTIONS[rest % 1000]}"


#: The same for times that many bookings share, such as those of their slots.
shared_time_text = lru_cache(maxsize=8_192)(time_text)


@lru_cache(maxsize=8_192)
def time_ms(text: str) -> int | None:
    """The milliseconds of an RFC 3339 time (finer digits are cut off), or None when the text is none."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hour, offset_minute = match.groups()[6:]
    leap = second == 60
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError:
        return None
    at_ms = (moment - _EPOCH) // _MILLISECOND + 1000 * leap + int((fraction or "0")[:3].ljust(3, "0"))
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            return None
        offset = (int(offset_hour) * 60 + int(offset_minute)) * 60_000
        at_ms += offset if sign == "-" else -offset
    return at_ms if _EARLIEST_MS <= at_ms <= _LATEST_MS else None


def with_plus(text: str) -> str:
    """The time with a `+` where a query string's decoding left a space in the offset's place."""
    return _LOST_PLUS.sub(r"\1+\2", text)
