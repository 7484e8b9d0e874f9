"""Every process run has a chain of its own; however it ends, what it leaves verifies; checkpoints tie the chains."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from omnilab.audit.model import present
from tests.audit.place import Place, make_database, opened, over, path_in

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.audit.place import opened

async def run():
    async with opened(Path(sys.argv[1])) as place:
        place.clock.ms += int(sys.argv[2])
        await place.audit.start()
        while True:
            records = [place.granted() for _ in range(5)]
            place.audit.record_later(place.refused())
            await asyncio.gather(*(place.audit.record(each) for each in records))
            await place.audit._checkpoints.write()
            print(*(each.request_id for each in records), flush=True)

asyncio.run(run())
"""


def test_killed_processes_leave_chains_that_verify_and_every_record_they_told_of(tmp_path: Path) -> None:
    make_database(tmp_path)
    told: list[str] = []
    for _ in range(2):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), str(number)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        lines = [writer.stdout.readline() for writer in writers if writer.stdout for _ in range(4)]
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        rest = [writer.communicate()[0] for writer in writers]
        told += [each for text in (*lines, *rest) for each in text.rpartition("\n")[0].split()]

    async def action(place: Place) -> None:
        result = await place.audit.verify()
        assert result.intact
        assert result.chains == 6
        assert result.checkpoints >= 6
        assert len(told) >= 2 * 3 * 4 * 5
        for request_id in told:
            assert len(await place.audit.find(request_id)) == 1

    over(tmp_path, action)


def test_a_checkpoint_names_the_other_chains_that_moved(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> None:
        async with opened(tmp_path) as one, opened(tmp_path) as two:
            await one.audit.record(one.granted())
            await two.audit.record(two.granted())
            assert await one.audit._checkpoints.write()
            assert await two.audit._checkpoints.write()
            assert await seen_by(two) == {one.audit._sink.chain_id}
            assert await seen_by(one) == {two.audit._sink.chain_id}

    asyncio.run(run())


def test_checkpoints_of_idle_processes_do_not_chase_each_other(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> None:
        async with opened(tmp_path) as one, opened(tmp_path) as two:
            await one.audit.record(one.granted())
            written = [await each.audit._checkpoints.write() for _ in range(3) for each in (one, two)]
            assert written == [True, True, False, False, False, False]
            await two.audit.record(two.granted())
            assert [await each.audit._checkpoints.write() for each in (one, two)] == [True, True]

    asyncio.run(run())


def test_a_run_that_stopped_is_seen_by_the_next_one_however_late(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> None:
        async with opened(tmp_path) as first:
            await first.audit.record(first.granted())
            first_chain = first.audit._sink.chain_id
        async with opened(tmp_path) as next_one:
            next_one.clock.ms += 7 * 24 * 3600 * 1000
            await next_one.audit.record(next_one.granted())
            await next_one.audit._checkpoints.write()
            assert await seen_by(next_one) == {first_chain}

    asyncio.run(run())


def test_a_failed_checkpoint_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> None:
        async with opened(tmp_path) as one, opened(tmp_path) as two:
            await one.audit.record(one.granted())
            await two.audit.record(two.granted())
            rename(tmp_path, "audit_records", "elsewhere")
            results = await asyncio.gather(one.audit._checkpoints.write(), return_exceptions=True)
            assert isinstance(results[0], Exception)
            rename(tmp_path, "elsewhere", "audit_records")
            assert await one.audit._checkpoints.write()
            assert await seen_by(one) == {two.audit._sink.chain_id}

    asyncio.run(run())


def test_a_checkpoint_can_be_shown_like_any_record(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        await place.audit.record(place.granted())
        await place.audit._checkpoints.write()
        with sqlite3.connect(path_in(tmp_path)) as connection:
            query = "SELECT request_id FROM audit_records WHERE outcome = 'checkpoint'"
            (request_id,) = connection.execute(query).fetchone()
        (record,) = await place.audit.find(request_id)
        assert present(record)["endpoint"] == "audit:checkpoint"
        assert present(record)["checks"] == []

    over(tmp_path, action)


def rename(folder: Path, table: str, name: str) -> None:
    with sqlite3.connect(path_in(folder)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")


async def seen_by(place: Place) -> set[str]:
    """The chains that the newest checkpoint of a process names."""
    with sqlite3.connect(place.db._path) as connection:
        (request_id,) = connection.execute(
            "SELECT request_id FROM audit_records WHERE outcome = 'checkpoint' AND chain_id = ?"
            " ORDER BY chain_position DESC",
            (place.audit._sink.chain_id,),
        ).fetchone()
    (record,) = await place.audit.find(request_id)
    return set(record.details)
