"""Retention lets the oldest records go; what stays is verified from where it was cut."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from omnilab.audit.model import Actor
from omnilab.audit.service.export import examine_file
from omnilab.audit.service.verification import Verification
from omnilab.errors import ProvisioningError
from tests.audit.place import make_database, opened, over, path_in

DAY_MS = 86_400_000
ACTOR = Actor(os_user="tester", host="here")


def fill(folder: Path, days: int = 10, chains: int = 2) -> int:
    """`chains` process runs of ten days each, one record and one checkpoint a day; returns the last moment (ms)."""
    make_database(folder)

    async def run() -> int:
        now = 1_790_000_000_000
        for _ in range(chains):
            async with opened(folder) as place:
                place.clock.ms = now
                for _ in range(days):
                    await place.audit.record(place.granted())
                    await place.audit._checkpoints.write()
                    place.clock.ms += DAY_MS
                now = place.clock.ms
        return now

    return asyncio.run(run())


def retain(folder: Path, now: int, days: int) -> tuple[int, Verification]:
    found: list[Any] = []

    async def act(place: Any) -> None:
        place.clock.ms = now
        found.append((await place.audit.retain(now - days * DAY_MS, actor=ACTOR)).removed)
        found.append(await place.audit.verify())

    over(folder, act)
    return found[0], found[1]


def count(folder: Path) -> int:
    with sqlite3.connect(path_in(folder)) as connection:
        return int(connection.execute("SELECT count(*) FROM audit_records").fetchone()[0])


def test_old_records_go_and_the_chains_hold(tmp_path: Path) -> None:
    now = fill(tmp_path)
    before = count(tmp_path)
    removed, result = retain(tmp_path, now, 15)
    assert removed > 0
    assert result.intact, result.findings
    assert result.removed_by_retention == removed
    removed_whole, result = retain(tmp_path, now, 8)  # the first chain whole, and into the second
    assert removed_whole > 0
    assert result.intact, result.findings
    assert retain(tmp_path, now, 8)[0] == 0
    assert count(tmp_path) < before


def test_a_run_leaves_a_record_of_who_let_go_of_how_much(tmp_path: Path) -> None:
    now = fill(tmp_path)
    removed, _ = retain(tmp_path, now, 15)

    async def act(place: Any) -> None:
        record = (await place.audit._all.find(await newest(place)))[0]
        assert (record.endpoint, record.details["removed"], record.actor) == ("audit:retain", removed, ACTOR)

    async def newest(place: Any) -> str:
        async for record in place.audit._all.newest_first("", refusals_only=False):
            return str(record.request_id)
        raise AssertionError("no record")

    over(tmp_path, act)


def test_what_an_export_saw_before_a_cut_is_not_missed_after_it(tmp_path: Path) -> None:
    now = fill(tmp_path)
    keys: list[str] = []

    async def export(place: Any) -> None:
        keys.append(place.audit.public_key)
        await place.audit.export(tmp_path / f"{len(keys)}.jsonl", {})

    over(tmp_path, export)
    retain(tmp_path, now, 8)
    over(tmp_path, export)
    found = examine_file(tmp_path / "2.jsonl", keys[0], earlier=tmp_path / "1.jsonl")
    assert found.intact, found.faults
    assert len(found.cuts) == 2


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE audit_cuts SET position = position + 1", "cut"),
        ("UPDATE audit_cuts SET position = position - 1", "cut"),
        ("UPDATE audit_cuts SET link = zeroblob(32)", "cut"),
        ("UPDATE audit_cuts SET seal = zeroblob(32)", "cut"),
        ("DELETE FROM audit_cuts", "missing"),
    ],
)
def test_a_cut_that_somebody_moved_made_up_or_took_away_is_found(tmp_path: Path, statement: str, problem: str) -> None:
    now = fill(tmp_path)
    retain(tmp_path, now, 15)
    with sqlite3.connect(path_in(tmp_path)) as connection:
        connection.execute(statement)

    async def act(place: Any) -> None:
        assert problem in {each.problem for each in (await place.audit.verify()).findings}

    over(tmp_path, act)


def test_more_removed_than_retention_did_is_found(tmp_path: Path) -> None:
    now = fill(tmp_path)
    retain(tmp_path, now, 15)
    with sqlite3.connect(path_in(tmp_path)) as connection:
        place = connection.execute("SELECT chain_id, position + 1 FROM audit_cuts").fetchone()
        connection.execute("DELETE FROM audit_records WHERE chain_id = ? AND chain_position = ?", place)

    async def act(it: Any) -> None:
        (finding,) = (await it.audit.verify()).findings
        assert (finding.problem, finding.chain_id, finding.position) == ("missing", *place)

    over(tmp_path, act)


def test_evidence_of_tampering_is_kept(tmp_path: Path) -> None:
    now = fill(tmp_path)
    with sqlite3.connect(path_in(tmp_path)) as connection:
        connection.execute("UPDATE audit_records SET body = body || ' ' WHERE chain_position = 3")
    before = count(tmp_path)
    with pytest.raises(ProvisioningError, match="evidence"):
        retain(tmp_path, now, 1)
    assert count(tmp_path) >= before
