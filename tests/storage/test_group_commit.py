"""The group commit of every engine: durable when it says so, and units that fail alone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import bindparam, func, insert, select, update

from omnilab.errors import ConflictError, UnavailableError
from omnilab.storage.database import Database, DuplicateRowError, Transaction
from omnilab.storage.opening import open_database
from omnilab.storage.schema import SERVES_FROM
from omnilab.storage.statement import Statement
from omnilab.storage.tables import installation
from tests.harness.databases import BOTH_ENGINES, database_at, made_at, run_sql, url_of

pytestmark = BOTH_ENGINES

INSERT = Statement(insert(installation), "name", "value")
# One row is the schema's own.
COUNT = Statement(select(func.count()).select_from(installation).where(installation.c.name != SERVES_FROM))
OWN = f"WHERE name != '{SERVES_FROM}'"
SET = Statement(
    update(installation).where(installation.c.name == bindparam("wanted")).values(value=bindparam("text")),
    "text",
    "wanted",
)
GET = Statement(select(installation.c.value).where(installation.c.name == bindparam("wanted")), "wanted")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    made_at(folder / "omnilab.db")
    db = database_at(folder / "omnilab.db")
    await db.start()
    try:
        yield db
    finally:
        await db.close()


def over_database(tmp_path: Path, action: Callable[[Database], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(tmp_path) as db:
            await action(db)

    asyncio.run(run())


def adding(name: str) -> Callable[[Transaction], Awaitable[str]]:
    async def unit(tx: Transaction) -> str:
        await tx.execute(INSERT, name, "x")
        return name

    return unit


class Collector:
    """A sink that writes names to the installation table and remembers how each commit ended."""

    def __init__(self) -> None:
        self.settlements: list[bool] = []
        self.batches: list[list[str]] = []

    is_one_statement = False

    async def write_batch(self, tx: Transaction, items: list[str]) -> None:
        self.batches.append(list(items))
        await tx.insert_rows(installation, [(item, "sink") for item in items])

    def settled(self, committed: bool) -> None:
        self.settlements.append(committed)


def test_many_writers_share_commits_and_each_gets_its_own_result(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        sink = Collector()
        units = [db.write(adding(f"unit-{n}")) for n in range(200)]
        items = [asyncio.ensure_future(db.append(sink, f"item-{n}")) for n in range(200)]
        assert await asyncio.gather(*units) == [f"unit-{n}" for n in range(200)]
        await asyncio.gather(*items)
        assert await db.fetch(COUNT) == [(400,)]
        assert sum(map(len, sink.batches)) == 200
        assert len(sink.batches) < 20

    over_database(tmp_path, action)


def test_a_failing_unit_is_undone_alone(tmp_path: Path) -> None:
    async def failing(tx: Transaction) -> None:
        await tx.execute(INSERT, "half-done", "x")
        tx.append(sink, "never")
        raise ConflictError("slot_full", "no place left")

    sink = Collector()

    async def action(db: Database) -> None:
        outcome = await asyncio.gather(
            db.write(adding("before")), db.write(failing), db.write(adding("after")), return_exceptions=True
        )
        assert outcome[0] == "before"
        assert outcome[2] == "after"
        assert isinstance(outcome[1], ConflictError)
        assert await db.fetch(COUNT) == [(2,)]

    over_database(tmp_path, action)
    assert sink.batches == []


def test_a_duplicate_row_is_told_to_its_writer_only(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        await db.write(adding("once"))
        outcome = await asyncio.gather(db.write(adding("once")), db.write(adding("other")), return_exceptions=True)
        assert isinstance(outcome[0], DuplicateRowError)
        assert outcome[1] == "other"

    over_database(tmp_path, action)


def test_a_failing_sink_fails_the_whole_commit_and_later_ones_go_on(tmp_path: Path) -> None:
    class Broken(Collector):
        is_one_statement = False

        async def write_batch(self, tx: Transaction, items: list[str]) -> None:
            if "poison" in items:
                raise OSError("disk full")
            await super().write_batch(tx, items)

    async def action(db: Database) -> None:
        sink = Broken()
        doomed = db.append(sink, "poison")
        along = asyncio.ensure_future(db.write(adding("along")))
        with pytest.raises(UnavailableError):
            await doomed
        with pytest.raises(UnavailableError):
            await along
        await db.append(sink, "fine")
        assert await db.fetch(COUNT) == [(1,)]
        assert sink.settlements == [False, True]

    over_database(tmp_path, action)


def test_commits_are_counted_and_the_one_that_waits_is_seen(tmp_path: Path) -> None:
    class Broken(Collector):
        async def write_batch(self, tx: Transaction, items: list[str]) -> None:
            raise OSError("disk full")

    async def action(db: Database) -> None:
        now = asyncio.get_running_loop().time
        assert (db.commits.done, db.commits.failed, db.commits.waiting_seconds(now() + 7)) == (0, 0, 0)
        failing = db.append(Broken(), "item")
        assert 7 <= db.commits.waiting_seconds(now() + 7) < 60
        with pytest.raises(UnavailableError):
            await failing
        assert "OSError" in db.commits.reason
        await db.write(adding("later"))
        assert db.commits.reason == ""
        assert (db.commits.done, db.commits.failed, db.commits.waiting_seconds(now() + 7)) == (1, 1, 0)

    over_database(tmp_path, action)


def test_a_caller_that_gives_up_does_not_undo_the_commit(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        task = asyncio.ensure_future(db.write(adding("kept")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await db.write(adding("later"))
        assert await db.fetch(COUNT) == [(2,)]

    over_database(tmp_path, action)


def test_one_request_cancelled_leaves_the_others_of_its_commit_waiting(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        sink = Collector()

        async def request(name: str) -> str:
            await db.append(sink, name)
            return name

        tasks = [asyncio.ensure_future(request(f"item-{n}")) for n in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        outcome = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcome[0] == "item-0"
        assert isinstance(outcome[1], asyncio.CancelledError)
        assert outcome[2] == "item-2"

    over_database(tmp_path, action)


def test_closing_commits_what_waits_and_then_refuses(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path) as db:
            waiting = [db.append(sink, f"item-{n}") for n in range(50)]
        assert all(future.done() for future in waiting)
        with pytest.raises(UnavailableError):
            db.append(sink, "late")

    sink = Collector()
    asyncio.run(run())
    assert run_sql(tmp_path / "omnilab.db", f"SELECT count(*) FROM installation {OWN}") == [(50,)]


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200])
def test_insert_rows_writes_any_number(tmp_path: Path, count: int) -> None:
    async def many(tx: Transaction) -> None:
        await tx.insert_rows(installation, [(f"row-{n}", "x") for n in range(count)])

    async def action(db: Database) -> None:
        await db.write(many)
        assert await db.fetch(COUNT) == [(count,)]

    over_database(tmp_path, action)


def _increment(url: str, times: int) -> None:
    async def add_one(tx: Transaction) -> None:
        row = await tx.fetch_one(GET, "counter")
        assert row is not None
        await tx.execute(SET, str(int(row[0]) + 1), "counter")

    async def run() -> None:
        db = open_database(url)
        await db.start()
        for _ in range(times):
            await db.change(add_one)
        await db.close()

    asyncio.run(run())


def test_processes_take_turns_and_lose_no_update(tmp_path: Path) -> None:
    async def action(db: Database) -> None:
        async def first(tx: Transaction) -> None:
            await tx.execute(INSERT, "counter", "0")

        await db.write(first)

    over_database(tmp_path, action)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_increment, args=(url_of(tmp_path / "omnilab.db"), 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    ((value,),) = run_sql(tmp_path / "omnilab.db", f"SELECT value FROM installation {OWN}")
    assert int(value) == 150


_WRITE_UNTIL_KILLED = """
import asyncio, sys
from omnilab.storage.opening import open_database
from test_group_commit import adding

async def main():
    db = open_database(sys.argv[1])
    await db.start()
    n = 0
    while True:
        done = await asyncio.gather(*[db.write(adding(f"{sys.argv[2]}-{n}-{i}")) for i in range(20)])
        print("\\n".join(done), flush=True)
        n += 1

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9_and_locks_are_freed(tmp_path: Path) -> None:
    path = tmp_path / "omnilab.db"
    url = made_at(path)
    acknowledged: set[str] = set()
    for run in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITE_UNTIL_KILLED, url, str(run)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{Path.cwd()}"},
        )
        assert child.stdout is not None
        for _ in range(100 + 37 * run):
            acknowledged.add(child.stdout.readline().strip())
        child.send_signal(signal.SIGKILL)
        # The last line may have been cut by the kill: only whole lines are acknowledgements.
        acknowledged.update(line.strip() for line in child.stdout.read().splitlines(keepends=True) if line[-1] == "\n")
        child.wait()
    stored = {name for (name,) in run_sql(path, f"SELECT name FROM installation {OWN}")}
    assert len(acknowledged) > 500
    assert acknowledged <= stored
