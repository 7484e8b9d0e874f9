"""Several processes at once, and `kill -9` in the middle: nothing is done twice, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bookings.rig import Rig, new_database, opened, outcome

ROOT = Path(__file__).resolve().parents[2]


def create_on_full_slot(path: Path, told: multiprocessing.Queue[list[int | str]]) -> None:
    async def run() -> None:
        async with opened(path) as rig:
            told.put(await asyncio.gather(*(outcome(rig.create(capacity=10)) for _ in range(70))))

    asyncio.run(run())


def cancel_one(path: Path, told: multiprocessing.Queue[list[int | str]]) -> None:
    async def run() -> None:
        async with opened(path) as rig:
            told.put(await asyncio.gather(*(outcome(rig.cancel("b1")) for _ in range(70))))

    asyncio.run(run())


def in_three_processes(path: Path, target: object) -> list[int | str]:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    workers = [context.Process(target=target, args=(path, told)) for _ in range(3)]
    for worker in workers:
        worker.start()
    outcomes = [each for _ in workers for each in told.get(timeout=60)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    return outcomes


def test_a_slot_of_10_takes_10_from_three_processes(tmp_path: Path) -> None:
    path = new_database(tmp_path)
    told = in_three_processes(path, create_on_full_slot)
    assert sorted(set(map(str, told))) == ["201", "slot_full"]
    assert told.count(201) == 10
    assert read(path, "SELECT places_taken, (SELECT count(*) FROM bookings) FROM slots") == [(10, 10)]


def test_one_of_three_processes_cancels(tmp_path: Path) -> None:
    path = new_database(tmp_path)

    async def prepare() -> None:
        async with opened(path) as rig:
            await rig.create("b1", capacity=5)
            await rig.create("b2", capacity=5)

    asyncio.run(prepare())
    told = in_three_processes(path, cancel_one)
    assert told.count(200) == 1
    assert told.count("booking_already_cancelled") == 209
    assert read(path, "SELECT places_taken FROM slots") == [(1,)]


# Run as a process of its own and killed: says each id on stdout once its cancel has been answered.
KILLED = """
import asyncio, sys
from pathlib import Path
from tests.bookings.test_kill import cancel_all
asyncio.run(cancel_all(Path(sys.argv[1]), int(sys.argv[2])))
"""
BOOKINGS = 4000
SLOTS = 40


async def cancel_all(path: Path, first: int) -> None:
    async with opened(path) as rig:

        async def cancel(number: int) -> None:
            if await outcome(rig.cancel(f"b{number}")) == 200:
                os.write(1, b"%d\n" % number)

        for start in range(first, BOOKINGS, 50):
            await asyncio.gather(*(cancel(number) for number in range(start, min(start + 50, BOOKINGS))))


async def book_all(rig: Rig) -> None:
    await asyncio.gather(
        *(rig.create(f"b{number}", slot_id=f"slot-{number % SLOTS}", capacity=BOOKINGS) for number in range(BOOKINGS))
    )


@pytest.mark.parametrize("after_answers", [1, 200, 700])
def test_kill_9_loses_no_answered_cancel_and_frees_no_place_twice(tmp_path: Path, after_answers: int) -> None:
    path = new_database(tmp_path)

    async def prepare() -> None:
        async with opened(path) as rig:
            await book_all(rig)

    asyncio.run(prepare())
    answered = kill_after(path, after_answers)
    consistent(path, answered)
    again = asyncio.run(first_answer(path))  # the same file opens again without repair
    assert again in (200, "booking_already_cancelled")
    consistent(path, answered)


def kill_after(path: Path, answers: int) -> set[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), "0"], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ
    )
    assert process.stdout is not None
    said = b""
    deadline = time.monotonic() + 60
    while said.count(b"\n") < answers and time.monotonic() < deadline:
        said += os.read(process.stdout.fileno(), 65536)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    said += process.stdout.read()
    process.stdout.close()
    assert said.count(b"\n") >= answers
    return {int(line) for line in said.splitlines()}


async def first_answer(path: Path) -> int | str:
    async with opened(path) as rig:
        return await outcome(rig.cancel("b0"))


def consistent(path: Path, answered: set[int]) -> None:
    cancelled = {int(row[0][1:]) for row in read(path, "SELECT booking_id FROM bookings WHERE cancelled_at > 0")}
    assert answered <= cancelled
    wrong = """
        SELECT s.slot_id, s.places_taken, count(b.booking_id) FROM slots s
        LEFT JOIN bookings b ON b.tenant_id = s.tenant_id AND b.slot_id = s.slot_id AND b.booking_status = 'CONFIRMED'
        GROUP BY s.tenant_id, s.slot_id HAVING s.places_taken <> count(b.booking_id)
    """
    assert read(path, wrong) == []
    assert read(path, "PRAGMA integrity_check") == [("ok",)]


def read(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
