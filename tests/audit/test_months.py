"""Audit records on PostgreSQL lie by month: whole months go at once, and what stays still verifies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from omnilab.audit.model import Actor
from omnilab.audit.model.months import months_from
from omnilab.audit.model.record import request_id_floor
from omnilab.errors import ProvisioningError
from tests.audit.place import Place, make_database, opened, over, path_in
from tests.harness import databases

ACTOR = Actor(os_user="tester", host="here")
DAY_MS = 86_400_000


def at(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(autouse=True)
def on_postgresql() -> Iterator[None]:
    with databases.using("postgresql"):
        yield


def fill(folder: Path) -> None:
    """Two processes side by side from January to April 2030, a record each every five days, the months made ahead."""
    make_database(folder)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            one, two = [await stack.enter_async_context(opened(folder)) for _ in range(2)]
            for day in range(0, 115, 5):
                for place in (one, two):
                    place.clock.ms = at(2030, 1) + day * DAY_MS
                    await place.audit.prepare_months()
                    await place.audit.record(place.granted())
                    await place.audit._checkpoints.write()

    asyncio.run(run())


def tables(folder: Path) -> dict[str, int]:
    """How many records lie in each partition."""
    sql = "SELECT tableoid::regclass::text, count(*) FROM audit_records GROUP BY 1 ORDER BY 1"
    return dict(databases.run_sql(path_in(folder), sql))


def partitions(folder: Path) -> set[str]:
    sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_records'::regclass"
    return {row[0] for row in databases.run_sql(path_in(folder), sql)}


def retain(folder: Path, before_ms: int) -> Any:
    """Let go of what is older; what was done, and what verifying found afterwards."""
    found: list[Any] = []

    async def act(place: Place) -> None:
        place.clock.ms = at(2030, 5)
        await place.audit.prepare_months()
        found.append(await place.audit.retain(before_ms, actor=ACTOR))
        found.append(await place.audit.verify())

    over(folder, act)
    return found


def test_each_record_lies_in_its_month_and_whole_months_go(tmp_path: Path) -> None:
    fill(tmp_path)
    before = tables(tmp_path)
    assert list(before) == [f"audit_records_2030_0{month}" for month in (1, 2, 3, 4)]
    done, verified = retain(tmp_path, at(2030, 3, 15))
    assert done.removed == before["audit_records_2030_01"] + before["audit_records_2030_02"]
    assert done.chains_cut == 4  # of two chains, in each of two months
    assert verified.intact, verified.findings
    assert verified.removed_by_retention == done.removed
    left = tables(tmp_path)
    assert "audit_records_2030_02" not in partitions(tmp_path)
    assert left["audit_records_2030_03"] == before["audit_records_2030_03"]
    assert retain(tmp_path, at(2030, 3, 15))[0].removed == 0


def test_chains_that_ended_go_whole(tmp_path: Path) -> None:
    fill(tmp_path)
    done, verified = retain(tmp_path, at(2031, 1))
    assert verified.intact, verified.findings
    # Of the runs that let go the second had its own chain cut too; what it wrote in May 2030 is old as well.
    assert done.removed >= 92
    assert set(tables(tmp_path)) <= {"audit_records_2030_05", "audit_records_rest"}


def late(folder: Path, order: list[tuple[int, int]]) -> None:
    """One process whose records come in this order of (month, day): a request that began in the old month ends in the
    new one."""
    make_database(folder)

    async def act(place: Place) -> None:
        place.clock.ms = at(2030, 1)
        await place.audit.prepare_months()
        for number, (month, day) in enumerate(order):
            request_id = request_id_floor(at(2030, month, day) + number) + f"-7000-8000-{number:012x}"
            await place.audit.record(place.granted(request_id=request_id))
        place.clock.ms = at(2030, 3, 3)  # of the checkpoint at its end

    over(folder, act)


def test_what_comes_late_for_its_month_stays_until_its_chain_lets_go(tmp_path: Path) -> None:
    late(tmp_path, [(1, 5), (1, 31), (2, 1), (1, 31), (2, 2), (2, 27), (3, 1), (2, 28), (3, 2)])
    done, verified = retain(tmp_path, at(2030, 2, 10))
    assert (done.removed, verified.intact) == (2, True), verified.findings
    assert tables(tmp_path)["audit_records_rest"] == 1
    done, verified = retain(tmp_path, at(2030, 3, 10))
    assert (done.removed, verified.intact) == (4, True), verified.findings
    assert tables(tmp_path)["audit_records_rest"] == 1
    assert tables(tmp_path)["audit_records_2030_03"] == 3
    done, verified = retain(tmp_path, at(2030, 4, 10))
    assert verified.intact, verified.findings
    assert "audit_records_rest" not in tables(tmp_path)


def test_no_record_is_refused_for_want_of_a_month(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def act(place: Place) -> None:
        place.clock.ms = at(2044, 7)
        record = place.granted()
        await place.audit.record(record)
        assert [each.request_id for each in await place.audit._all.find(record.request_id)] == [record.request_id]
        assert "audit_records_2044_07" in await place.audit.prepare_months()
        assert [each.request_id for each in await place.audit._all.find(record.request_id)] == [record.request_id]

    over(tmp_path, act)
    assert list(tables(tmp_path)) == ["audit_records_2044_07"]  # it has moved to where it belongs


def test_many_processes_make_the_months_once(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            places = [await stack.enter_async_context(opened(tmp_path)) for _ in range(4)]
            for place in places:
                place.clock.ms = at(2030, 12, 31)
            made = await asyncio.gather(*(place.audit.prepare_months() for place in places))
            assert sorted(each for names in made for each in names) == [
                "audit_records_2030_12",
                "audit_records_2031_01",
                "audit_records_2031_02",
            ]

    asyncio.run(run())


FIRST, LAST = ("(SELECT {end}(chain_position) FROM {table})".replace("{end}", end) for end in ("min", "max"))


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE audit_records_2030_02 SET body = body || ' '", FIRST),
        ("DELETE FROM audit_records_2030_02", FIRST),
        ("DELETE FROM audit_records_2030_01", LAST),
        (r"UPDATE audit_records_2030_01 SET link = '\x00'", LAST),
    ],
)
def test_a_month_whose_end_was_tampered_with_is_kept(tmp_path: Path, statement: str, place: str) -> None:
    fill(tmp_path)
    table = statement[statement.index("audit_") :].split(maxsplit=1)[0]
    databases.run_sql(path_in(tmp_path), f"{statement} WHERE chain_position = {place.format(table=table)}")
    before = tables(tmp_path)
    with pytest.raises(ProvisioningError, match="evidence"):
        retain(tmp_path, at(2030, 2, 10))
    assert {name: count for name, count in tables(tmp_path).items() if name < "audit_records_2030_05"} == before


def test_months_follow_the_calendar() -> None:
    months = months_from(at(2031, 12, 31) + DAY_MS - 1, 3)
    assert [month.table[-7:] for month in months] == ["2031_12", "2032_01", "2032_02"]
    assert [month.first for month in months] == [
        request_id_floor(at(*start)) for start in ((2031, 12), (2032, 1), (2032, 2))
    ]
    assert all(month.end == later.first for month, later in pairwise(months))
