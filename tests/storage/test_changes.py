"""The change feed: in order, none lost, and a lease that runs out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from omnilab.errors import UnavailableError
from omnilab.storage.changes import LEASE_SECONDS, Change, ChangeFeed, append_change, prune_changes
from omnilab.storage.database import Database, Transaction
from tests.harness.databases import BOTH_ENGINES, database_at, made_at, run_sql

pytestmark = BOTH_ENGINES

DAY_MS = 24 * 3600 * 1000


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


class Follower:
    """A process that follows the feed."""

    def __init__(self, path: Path) -> None:
        self.db = database_at(path)
        self.clock = FakeClock()
        self.seen: list[Change] = []
        self.whole_loads = 0
        self.feed = ChangeFeed(self.db, self.clock, apply=self._apply, apply_all=self._apply_all)

    async def _apply(self, found: list[Change]) -> None:
        self.seen.extend(found)

    async def _apply_all(self) -> None:
        self.whole_loads += 1

    async def change(self, client_id: str, now_ms: int = 0) -> None:
        async def unit(tx: Transaction) -> None:
            await append_change(tx, "ten_a", "client", client_id, now_ms=now_ms)

        await self.db.change(unit)


def follow(path: Path, story: object) -> Follower:
    made_at(path)
    follower = Follower(path)

    async def run() -> None:
        await follower.db.start()
        try:
            await story(follower)  # type: ignore[operator]
        finally:
            await follower.db.close()

    asyncio.run(run())
    return follower


def test_changes_arrive_once_and_in_order(tmp_path: Path) -> None:
    async def story(node: Follower) -> None:
        await node.change("cli_before")
        await node.feed.catch_up()
        assert node.whole_loads == 1
        for n in range(5):
            await node.change(f"cli_{n}")
        await node.feed.catch_up()
        await node.feed.catch_up()

    node = follow(tmp_path / "x.db", story)
    assert [change.client_id for change in node.seen] == [f"cli_{n}" for n in range(5)]


def test_the_lease_runs_out_and_is_won_back_by_asking(tmp_path: Path) -> None:
    async def story(node: Follower) -> None:
        assert not node.feed.fresh()
        await node.feed.catch_up()
        node.clock.seconds += LEASE_SECONDS - 0.01
        assert node.feed.fresh()
        node.clock.seconds += 0.02
        assert not node.feed.fresh()
        await node.change("cli_new")
        await node.feed.ensure_fresh()
        assert node.feed.fresh()
        assert [change.client_id for change in node.seen] == ["cli_new"]

    follow(tmp_path / "x.db", story)


class HeldReads:
    """A database whose answers can be held back on their way, as a server's are by the network."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def fetch_one(self, *query: Any) -> Any:
        row = await self._db.fetch_one(*query)
        await self.let_go.wait()
        return row

    async def fetch(self, *query: Any) -> Any:
        return await self._db.fetch(*query)


def test_a_read_that_began_earlier_does_not_answer_for_a_later_question(tmp_path: Path) -> None:
    async def story(node: Follower) -> None:
        held = HeldReads(node.db)
        feed = ChangeFeed(held, node.clock, apply=node._apply, apply_all=node._apply_all)  # type: ignore[arg-type]
        await feed.catch_up()
        held.let_go.clear()
        poll = asyncio.create_task(feed.catch_up())
        await asyncio.sleep(0.01)
        await node.change("cli_new")
        questions = [asyncio.create_task(feed.catch_up()) for _ in range(3)]
        await asyncio.sleep(0.01)
        held.let_go.set()
        await asyncio.gather(poll, *questions)
        assert [change.client_id for change in node.seen] == ["cli_new"]

    follow(tmp_path / "x.db", story)


def test_without_the_database_there_is_no_lease(tmp_path: Path) -> None:
    async def story(node: Follower) -> None:
        await node.feed.catch_up()
        node.clock.seconds += 1
        run_sql(tmp_path / "x.db", "ALTER TABLE changes RENAME TO gone")
        with pytest.raises(UnavailableError):
            await node.feed.ensure_fresh()
        assert not node.feed.fresh()

    follow(tmp_path / "x.db", story)


def test_a_process_older_than_the_oldest_kept_change_starts_over(tmp_path: Path) -> None:
    async def story(node: Follower) -> None:
        await node.change("cli_1")
        await node.feed.catch_up()
        for n in range(2, 5):
            await node.change(f"cli_{n}", now_ms=n)
        await node.db.write(lambda tx: prune_changes(tx, DAY_MS + 100))
        await node.feed.catch_up()
        assert node.whole_loads == 2
        assert node.seen == []

    follow(tmp_path / "x.db", story)


def test_a_restored_older_database_makes_everything_be_read_anew(tmp_path: Path) -> None:
    async def story(node: Follower) -> None:
        for n in range(3):
            await node.change(f"cli_{n}")
        await node.feed.catch_up()
        run_sql(tmp_path / "x.db", "DELETE FROM changes WHERE position = 3")
        await node.feed.catch_up()
        assert node.whole_loads == 2

    follow(tmp_path / "x.db", story)
