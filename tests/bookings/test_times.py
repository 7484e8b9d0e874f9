"""RFC 3339 in and out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilab.bookings.model.times import time_ms, time_text, with_plus

FIRST_MS = -62_135_596_800_000  # 0001-01-01T00:00:00Z
LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


@given(st.integers(FIRST_MS, LAST_MS))
def test_every_time_comes_back_as_it_went(at_ms: int) -> None:
    text = time_text(at_ms)
    assert time_ms(text) == at_ms
    assert ("." in text) == (at_ms % 1000 != 0)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()))
def test_offsets_mean_what_datetime_says(moment: datetime) -> None:
    offset = moment.utcoffset()
    if offset is None or offset.total_seconds() % 60:
        return  # RFC 3339 cannot write it
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert time_ms(moment.isoformat(timespec="milliseconds")) == round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "as_utc"),
    [
        ("2026-12-01T10:00:00Z", "2026-12-01T10:00:00Z"),
        ("2026-12-01t10:00:00z", "2026-12-01T10:00:00Z"),
        ("2026-12-01 10:00:00Z", "2026-12-01T10:00:00Z"),
        ("2026-12-01T10:00:00+02:00", "2026-12-01T08:00:00Z"),
        ("2026-12-01T10:00:00-00:00", "2026-12-01T10:00:00Z"),
        ("2026-12-01T10:00:00.5Z", "2026-12-01T10:00:00.500Z"),
        ("2026-12-01T10:00:00.1239999Z", "2026-12-01T10:00:00.123Z"),
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    ],
)
def test_what_rfc_3339_allows(text: str, as_utc: str) -> None:
    at_ms = time_ms(text)
    assert at_ms is not None
    assert time_text(at_ms) == as_utc


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-12-01", "2026-12-01T10:00Z", "2026-12-01T10:00:00", "2026-12-01T10:00:00+0200", "1764583200",
        "2026-13-01T10:00:00Z", "2025-02-29T00:00:00Z", "2026-12-01T24:00:00Z", "2026-12-01T10:00:61Z",
        "2026-12-01T10:00:00+24:00", "2026-12-01T10:00:00+02:60", "0000-01-01T00:00:00Z", "2026-12-01T10:00:00.Z",
        "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-12-01T10:00:00Z\n", "２０26-12-01T10:00:00Z",
    ],
)  # fmt: skip
def test_what_it_does_not(text: str) -> None:
    assert time_ms(text) is None


def test_a_plus_lost_in_a_query_string_is_found_again() -> None:
    assert with_plus("2026-12-01T10:00:00 02:00") == "2026-12-01T10:00:00+02:00"
    assert with_plus("2026-12-01T10:00:00.25 02:00") == "2026-12-01T10:00:00.25+02:00"
    assert with_plus("2026-12-01 10:00:00Z") == "2026-12-01 10:00:00Z"
    assert with_plus("2026-12-01 10:00:00-02:00") == "2026-12-01 10:00:00-02:00"


def test_the_epoch_is_the_epoch() -> None:
    assert time_text(0) == "1970-01-01T00:00:00Z"
    assert time_ms("1970-01-01T00:00:00Z") == 0 == datetime(1970, 1, 1, tzinfo=UTC).timestamp()
