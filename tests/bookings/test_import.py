"""Importing files: what is taken, what is refused with which words, and what it costs."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnilab.audit.model import Actor
from omnilab.bookings.model.imports import COLUMNS, REQUIRED_COLUMNS
from omnilab.bookings.service import ImportFile, ImportResult, ImportTarget, Rejected
from omnilab.errors import ProvisioningError, UnavailableError
from omnilab.storage.database import DuplicateRowError, Transaction
from tests.bookings.rig import ACME, Rig, new_database, opened, with_rig

ROOT = Path(__file__).resolve().parents[2]
TARGET = ImportTarget(ACME, "acme", Actor("tester", "here"), "bookings.csv")


def row(number: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "booking_id": f"b{number}",
        "external_id": f"contact-{number % 3}",
        "interaction_id": "spring",
        "event_id": "event-1",
        "event_title": "Tasting, with dinner",
        "event_location": "",
        "slot_id": "slot-1",
        "slot_start_date": "2026-12-01T10:00:00Z",
        "slot_end_date": "2026-12-01T12:00:00+01:00",
        "slot_capacity": "5",
        "ticket_type": "Guest",
    } | other


def as_csv(rows: list[dict[str, Any]], columns: tuple[str, ...] = COLUMNS) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(each) + b"\n" for each in rows)


async def import_bytes(rig: Rig, folder: Path, data: bytes) -> tuple[ImportResult, list[Rejected]]:
    path = folder / "bookings.data"
    path.write_bytes(data)
    rejected: list[Rejected] = []
    with ImportFile(path) as source:
        result = await rig.importer.run(TARGET, source.rows(), reject=rejected.append)
    assert len(rejected) == result.rejected
    return result, rejected


def imported(folder: Path, data: bytes) -> tuple[ImportResult, list[Rejected]]:
    """Import into a fresh database."""

    async def run() -> tuple[ImportResult, list[Rejected]]:
        async with opened(new_database(folder)) as rig:
            return await import_bytes(rig, folder, data)

    return asyncio.run(run())


FORMS = {
    "csv": as_csv([row(1), row(2)]),
    "csv, required columns alone": as_csv([row(1), row(2)], REQUIRED_COLUMNS),
    "csv, another order": as_csv([row(1), row(2)], tuple(reversed(COLUMNS))),
    "csv with a byte order mark": b"\xef\xbb\xbf" + as_csv([row(1), row(2)]),
    "csv without a line end": as_csv([row(1), row(2)]).rstrip(),
    "csv with empty lines": b"\r\n" + as_csv([row(1), row(2)]).replace(b"\r\n", b"\r\n\r\n"),
    "json lines": as_json_lines([row(1), row(2)]),
    "json lines, numbers and nulls": as_json_lines([row(1, slot_capacity=5, event_location=None), row(2)]),
    "json lines, blank ones between": b"\n" + as_json_lines([row(1)]) + b"\n" + as_json_lines([row(2)]) + b"\n",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_told_by_its_content(tmp_path: Path, form: str, packed: bool) -> None:
    async def action(rig: Rig) -> None:
        data = gzip.compress(FORMS[form]) if packed else FORMS[form]
        result, rejected = await import_bytes(rig, tmp_path, data)
        assert (result, rejected) == (ImportResult(imported=2), [])
        booking = await rig.booking("b1")
        assert booking.booking_status == "CONFIRMED"
        assert booking.event_title == "Tasting, with dinner"
        assert booking.event_location is None
        assert booking.created_at == rig.clock.at_ms
        assert booking.slot_end_at - booking.slot_start_at == 3_600_000
        assert await rig.places() == 2

    with_rig(tmp_path, action)


def test_states_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = [
        row(1, booking_status="CANCELED", cancelled_at="2026-01-01T00:00:00Z", created_at="2025-01-01T00:00:00Z"),
        row(2, booking_status="CHECKED_IN", checked_in_at="2026-12-01T10:05:00Z"),
        row(3, booking_status="WAITLISTED"),
        row(4, booking_status="CONFIRMED"),
    ]

    async def action(rig: Rig) -> None:
        result, _ = await import_bytes(rig, tmp_path, as_json_lines(rows))
        assert result == ImportResult(imported=4)
        assert await rig.places() == 2
        assert (await rig.booking("b1")).booking_status == "CANCELLED"
        assert (await rig.booking("b1")).created_at == 1_735_689_600_000
        assert (await rig.booking("b2")).checked_in_at == 1_796_119_500_000

    with_rig(tmp_path, action)


BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"booking_id": ""}, "booking_id is missing"),
    ({"external_id": None}, "external_id is missing"),
    ({"external_id": 7}, "external_id must be a string"),
    ({"external_id": "x" * 256}, "external_id must have 1 to 255 characters"),
    ({"slot_id": "a\tb"}, "slot_id must have no control characters"),
    ({"external_id": "omni_dev_" + "a" * 49}, "external_id looks like a credential"),
    ({"event_title": "\0"}, "event_title must have no control characters"),
    ({"event_title": "x" * 1001}, "event_title must have at most 1000 characters"),
    ({"ticket_type": "omni_prd_" + "a" * 49}, "ticket_type looks like a credential"),
    ({"slot_start_date": "tomorrow"}, "slot_start_date must be an RFC 3339 time"),
    ({"slot_end_date": "2026-12-01T09:59:59Z"}, "slot_end_date must not be before slot_start_date"),
    ({"slot_capacity": "many"}, "slot_capacity must be a whole number"),
    ({"slot_capacity": "0"}, "slot_capacity must be a whole number from 1"),
    ({"slot_capacity": "9" * 5000}, "slot_capacity must be a whole number"),
    ({"slot_capacity": True}, "slot_capacity must be a whole number"),
    ({"booking_status": "MAYBE"}, "booking_status must be one of"),
    ({"booking_status": 1}, "booking_status must be one of"),
    ({"created_at": "2026-12-01"}, "created_at must be an RFC 3339 time"),
    ({"cancelled_at": "2026-12-01T10:00:00Z"}, "cancelled_at is given, but booking_status is not CANCELLED"),
    ({"checked_in_at": "2026-12-01T10:00:00Z"}, "checked_in_at is given, but booking_status is not CHECKED_IN"),
    ({"colour": "red"}, "it has a column that is not known"),
    ({"slot_capacity": "6"}, "slot_mismatch: this slot_id is already in use with another slot_capacity"),
    ({"event_id": "event-2"}, "slot_mismatch: this slot_id is already in use with another event_id"),
]


@pytest.mark.parametrize(("other", "reason"), BAD_ROWS)
def test_a_bad_row_is_refused_and_the_good_ones_are_kept(tmp_path: Path, other: dict[str, Any], reason: str) -> None:
    bad = row(2, **other)
    result, rejected = imported(tmp_path, as_json_lines([row(1), bad, row(3)]))
    assert result == ImportResult(imported=2, rejected=1)
    assert rejected[0].line == 2
    assert rejected[0].reason.startswith(reason)
    assert rejected[0].row == bad


BAD_LINES = [
    (b"{not json}", "it is no JSON"),
    (b"[1]", "it is JSON, but no object"),
    (b"{}" * 40_000, "the line is longer than 65536 bytes"),
    (b'{"booking_id": "\xff"}', "the line is not UTF-8"),
    (b"[" * 60_000, "it is no JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_line_that_is_no_json_costs_itself_only(tmp_path: Path, line: bytes, reason: str) -> None:
    good = as_json_lines([row(1)]), as_json_lines([row(3)])
    result, rejected = imported(tmp_path, good[0] + line + b"\n" + good[1])
    assert result == ImportResult(imported=2, rejected=1)
    assert (rejected[0].line, rejected[0].reason) == (2, reason)


BAD_CSV = [
    (b"a,b,c", "it has 3 columns, the header has 15"),
    (b'b9,"never closed,x,y,z', "a quote is not closed"),
    (b'"a"b,c', "it is no CSV"),
    (b"\xff,b", "the line is not UTF-8"),
    (b"x" * 70_000, "the line is longer than 65536 bytes"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_CSV)
@pytest.mark.parametrize("after", [1, 5, 60])
def test_a_line_that_is_no_csv_costs_itself_only(tmp_path: Path, line: bytes, reason: str, after: int) -> None:
    """However many rows follow: an open quote must not swallow them."""
    lines = as_csv([row(number, slot_capacity="") for number in range(after + 1)]).splitlines(keepends=True)
    result, rejected = imported(tmp_path, b"".join([*lines[:2], line + b"\r\n", *lines[2:]]))
    assert result == ImportResult(imported=after + 1, rejected=1)
    assert rejected[0].line == 3
    assert rejected[0].reason.startswith(reason)


def test_an_open_quote_before_a_bad_line_costs_two_lines(tmp_path: Path) -> None:
    lines = as_csv([row(1), row(2)]).splitlines(keepends=True)
    result, rejected = imported(tmp_path, lines[0] + b'b9,"open\r\n' + b"\xff\r\n" + lines[1] + lines[2])
    assert result == ImportResult(imported=2, rejected=2)
    assert [each.line for each in rejected] == [2, 3]


def test_a_quoted_field_may_hold_line_breaks(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        result, rejected = await import_bytes(rig, tmp_path, as_csv([row(1, event_title="First\nSecond"), row(2)]))
        assert (result, rejected) == (ImportResult(imported=2), [])
        assert (await rig.booking("b1")).event_title == "First\nSecond"

    with_rig(tmp_path, action)


@pytest.mark.parametrize(
    "data",
    [
        b"booking_id,external_id\n1,2\n",
        as_csv([row(1)]).replace(b"slot_capacity", b"capacity"),
        as_csv([row(1)]).replace(b"checked_in_at", b"cancelled_at"),
        b"\x00\x01\x02\x03",
        b"\xff\xfe\xfd",
        b"[]\n",
        b"x" * 100_000,
    ],
)
def test_a_file_that_is_neither_is_refused_whole(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ProvisioningError) as refused:
        imported(tmp_path, data)
    assert refused.value.code == "file_header_invalid"
    assert "booking_id" in refused.value.detail


def test_an_empty_file_imports_nothing(tmp_path: Path) -> None:
    assert imported(tmp_path, b"") == (ImportResult(), [])
    assert imported(tmp_path, b"\n\n") == (ImportResult(), [])


def test_a_file_that_is_not_there_or_broken_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ProvisioningError, match="cannot be read"):
        ImportFile(tmp_path / "missing.csv")
    rows = as_json_lines([row(number, slot_capacity="") for number in range(3000)])
    with pytest.raises(ProvisioningError, match="broken after line"):
        imported(tmp_path, gzip.compress(rows)[:-2000])
    with pytest.raises(ProvisioningError, match="broken after line"):
        imported(tmp_path, b"\x1f\x8b" + b"no gzip at all")


def test_a_booking_that_is_there_is_skipped_and_never_changed(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        assert (await import_bytes(rig, tmp_path, as_csv([row(1), row(2), row(1)])))[0] == ImportResult(2, 1, 0)
        await rig.cancel("b1")
        changed = row(1, external_id="someone-else", event_title="Another")
        assert (await import_bytes(rig, tmp_path, as_csv([changed, row(2), row(3)])))[0] == ImportResult(1, 2, 0)
        booking = await rig.booking("b1")
        assert (booking.external_id, booking.booking_status) == ("contact-1", "CANCELLED")
        assert await rig.places() == 2

    with_rig(tmp_path, action)


def test_no_slot_gets_more_than_it_holds(tmp_path: Path) -> None:
    """Within a batch, across batches, and together with what the API booked."""

    async def action(rig: Rig) -> None:
        rows = [row(number, slot_capacity="700") for number in range(1200)]
        rows[100]["booking_status"] = "WAITLISTED"
        result, rejected = await import_bytes(rig, tmp_path, as_csv(rows))
        assert result == ImportResult(imported=701, rejected=499)
        assert {each.reason for each in rejected} == {"slot_full: all 700 places of the slot are taken"}
        assert [each.line for each in rejected] == sorted(each.line for each in rejected)
        assert await rig.places() == 700
        await rig.cancel("b1")
        late = [row(number, slot_capacity="700") for number in (2000, 2001)]
        assert (await import_bytes(rig, tmp_path, as_csv(late)))[0] == ImportResult(imported=1, rejected=1)
        waiting = row(2002, slot_capacity="700", booking_status="WAITLISTED")
        assert (await import_bytes(rig, tmp_path, as_csv([waiting])))[0] == ImportResult(imported=1)

    with_rig(tmp_path, action)


def test_an_empty_capacity_is_unlimited(tmp_path: Path) -> None:
    rows = [row(number, slot_capacity="") for number in range(600)]
    assert imported(tmp_path, as_csv(rows)) == (ImportResult(imported=600), [])


def test_an_import_that_meets_other_writers_begins_the_batch_again(tmp_path: Path) -> None:
    """On a server database another machine may take a row between looking and writing."""

    async def action(rig: Rig) -> None:
        write, tries = rig.db.write, 0

        async def overtaken(unit: Any) -> Any:
            nonlocal tries
            tries += 1

            async def failing(tx: Transaction) -> Any:
                await unit(tx)
                raise DuplicateRowError("another machine was first")

            return await write(failing if tries < limit else unit)

        rig.db.write = overtaken  # type: ignore[method-assign]
        limit = 3
        assert (await import_bytes(rig, tmp_path, as_csv([row(1), row(2)])))[0] == ImportResult(imported=2)
        tries, limit = 0, 4
        with pytest.raises(UnavailableError):
            await import_bytes(rig, tmp_path, as_csv([row(3)]))

    with_rig(tmp_path, action)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: FORMS["csv"] + text.encode())))
def test_no_bytes_make_it_crash(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(data)
    try:
        with ImportFile(path) as source:
            assert all(each.line > 0 for each in source.rows())
    except ProvisioningError:
        pass


# Imports a file in a process of its own and says its peak memory: ru_maxrss in KiB before and after.
MEMORY = """
import asyncio, resource, sys
from pathlib import Path
from tests.bookings.rig import opened
from tests.bookings.test_import import TARGET, ImportFile

async def run(database, file):
    async with opened(Path(database)) as rig:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with ImportFile(Path(file)) as source:
            result = await rig.importer.run(TARGET, source.rows(), reject=lambda rejected: None)
        print(result.imported, result.rejected, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

asyncio.run(run(*sys.argv[1:]))
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """70 MB of rows, most of them in one endless line, in less than 40 MiB."""
    path = tmp_path / "large.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as packed:
        for start in range(0, 12_000, 1000):
            rows = [row(number, slot_capacity="", slot_id=f"slot-{number}") for number in range(start, start + 1000)]
            packed.write(as_json_lines(rows))
        for _ in range(64):
            packed.write(b"x" * 1024 * 1024)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(new_database(tmp_path)), str(path)],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    count, refused, grown_kib = (int(part) for part in done.stdout.split())
    assert (count, refused) == (12_000, 1)
    assert grown_kib < 40 * 1024
