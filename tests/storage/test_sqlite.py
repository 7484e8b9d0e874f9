"""What is the embedded engine's own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import literal_column, select

from omnilab.errors import UnavailableError
from omnilab.storage import sqlite
from omnilab.storage.database import Database, Transaction
from omnilab.storage.sqlite_files import WriteTurn
from omnilab.storage.statement import Statement
from omnilab.storage.tables import installation
from tests.storage.test_group_commit import COUNT, GET, adding, opened, over_database

ALL = Statement(select(installation.c.name).where(installation.c.name.like("row-%")))


def test_a_unit_that_waits_for_something_else_is_refused(tmp_path: Path) -> None:
    async def sleeping(tx: Transaction) -> None:
        await asyncio.sleep(0)

    async def action(db: Database) -> None:
        with pytest.raises(RuntimeError, match="nothing but its transaction"):
            await db.write(sleeping)
        assert await db.write(adding("next")) == "next"

    over_database(tmp_path, action)


def test_reads_of_one_turn_each_have_their_own_rows_and_fail_alone(tmp_path: Path) -> None:
    broken = Statement(select(literal_column("no_such_column")))

    async def action(db: Database) -> None:
        for number in range(5):
            await db.write(adding(f"row-{number}"))
        known = [db.fetch(GET, f"row-{number}") for number in range(5)]
        *found, missing, failed = await asyncio.gather(
            *known, db.fetch_one(GET, "none"), db.fetch(broken), return_exceptions=True
        )
        assert found == [[("x",)]] * 5
        assert missing is None
        assert isinstance(failed, UnavailableError)
        assert "no_such_column" in failed.reason

    over_database(tmp_path, action)


@pytest.mark.parametrize(
    ("value", "error"), [(2**70, OverflowError), ("\ud800", UnicodeEncodeError)], ids=["number", "surrogate"]
)
def test_what_the_driver_cannot_take_is_told_to_who_asked_and_stops_nobody(
    tmp_path: Path, value: object, error: type[Exception]
) -> None:
    async def action(db: Database) -> None:
        asked = (db.fetch(COUNT), db.fetch(GET, value), db.fetch(COUNT))
        before, failed, after = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
        assert (before, after) == ([(0,)], [(0,)])
        assert isinstance(failed, error)
        assert await asyncio.wait_for(db.fetch(COUNT), 10) == [(0,)]

    over_database(tmp_path, action)


def test_a_reader_that_goes_away_takes_no_other_along(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        going, staying = (asyncio.ensure_future(db.fetch(COUNT)) for _ in range(2))
        await asyncio.sleep(0)  # both have asked, nothing is read yet
        going.cancel()
        assert await staying == [(0,)]
        assert going.cancelled()

    over_database(tmp_path, action)


def test_a_read_sees_what_was_committed_before_it_was_asked_for(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        async def write_and_read(name: str) -> None:
            await db.write(adding(name))
            assert await db.fetch(GET, name) == [("x",)]

        await asyncio.gather(*(write_and_read(f"row-{number}") for number in range(200)))

    over_database(tmp_path, action)


def test_those_who_ask_for_thousands_of_rows_are_served_in_parts(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        await asyncio.gather(*(db.write(adding(f"row-{number}")) for number in range(300)))
        served: list[int] = []

        async def read(number: int) -> None:
            assert len(await db.fetch(ALL)) == 300
            served.append(number)

        readers = [asyncio.ensure_future(read(number)) for number in range(9)]
        while not served:
            await asyncio.sleep(0)
        assert len(served) < 9
        await asyncio.gather(*readers)
        assert served == [*range(9)]

    over_database(tmp_path, action)


def test_a_closed_database_says_so_to_who_reads(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as db:
            assert await db.fetch(COUNT) == [(0,)]
        with pytest.raises(UnavailableError) as refused:
            await db.fetch(COUNT)
        assert "closed" in refused.value.reason

    asyncio.run(run())


def test_who_waits_behind_a_long_commit_of_the_same_process_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "TURN_SECONDS", 0.1)
    monkeypatch.setattr(sqlite, "_LOOK_SECONDS", 0.02)

    async def slow(tx: Transaction) -> str:
        time.sleep(0.5)  # noqa: ASYNC251 - a disk that stands still, in the writer's thread
        return await adding("row-slow")(tx)

    async def action(db: Database) -> None:
        first = asyncio.ensure_future(db.write(slow))
        await asyncio.sleep(0.1)
        assert await db.write(adding("row-next")) == "row-next"
        assert await first == "row-slow"

    over_database(tmp_path, action)


def test_a_database_is_closed_though_another_keeps_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "TURN_SECONDS", 0.1)
    monkeypatch.setattr(sqlite, "_LOOK_SECONDS", 0.02)

    async def run() -> None:
        async with opened(tmp_path) as db:
            with WriteTurn(tmp_path / "omnilab.db"):
                waiting = asyncio.ensure_future(db.write(adding("row-late")))
                await asyncio.sleep(0)
                await asyncio.wait_for(db.close(), 20)
                with pytest.raises(UnavailableError) as given_up:
                    await waiting
            assert "another process" in given_up.value.reason
        async with opened(tmp_path) as db:
            assert await db.fetch(ALL) == []

    asyncio.run(run())
