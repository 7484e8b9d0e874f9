"""Whoever can write the tables but lacks the key cannot change, remove, reorder or put in a record unseen."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from omnilab.audit.service.verification import Verification
from tests.audit.place import Place, make_database, opened, path_in

RECORD_COLUMNS = ("request_id", "chain_position", "tenant_id", "outcome", "chain_id", "body", "link")
CHAIN_COLUMNS = ("chain_id", "started_at", "head_position", "head_at", "head_seal")


def fill(folder: Path) -> None:
    """Three chains of three process runs, with checkpoints; the constraints that would stop a tamperer taken off."""
    make_database(folder)

    async def run() -> None:
        for process in range(3):
            async with opened(folder) as place:
                place.clock.ms += process * 1_000_000
                for number in range(4):
                    place.clock.ms += 11_000
                    await place.audit.record(place.granted() if number % 2 else place.refused())
                    if number == 2:
                        await place.audit._checkpoints.write()

    asyncio.run(run())
    # Closed, so that nothing is left in the WAL: the file alone is copied.
    with closing(sqlite3.connect(path_in(folder))) as connection, connection:
        for name in ("audit_records", "audit_chains"):
            connection.execute(f"CREATE TABLE bare AS SELECT * FROM {name}")
            connection.execute(f"DROP TABLE {name}")
            connection.execute(f"ALTER TABLE bare RENAME TO {name}")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    fill(folder)
    return folder


def verified(folder: Path, *, key: bytes | None = None) -> Verification:
    async def run() -> Verification:
        async with opened(folder, **({"key": key} if key else {})) as place:
            return await place.audit.verify()

    return asyncio.run(run())


def tampered(filled: Path, tamper: Callable[[sqlite3.Connection], object]) -> Verification:
    """What verification says of a copy after `tamper` had its way with it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(path_in(filled), path_in(folder))
        with sqlite3.connect(path_in(folder)) as connection:
            tamper(connection)
        connection.close()
        return verified(folder)


def rows(connection: sqlite3.Connection, table: str = "audit_records") -> list[tuple[Any, ...]]:
    order = "chain_id, chain_position" if table == "audit_records" else "chain_id"
    return connection.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()


def replace_all(connection: sqlite3.Connection, table: str, new: list[tuple[Any, ...]]) -> None:
    connection.execute(f"DELETE FROM {table}")
    marks = ",".join("?" * len(new[0])) if new else ""
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", new)


def other_value(old: object, draw: st.DataObject) -> object:
    """Another value for a column, of its own type or not."""
    kinds: dict[type, st.SearchStrategy[Any]] = {
        str: st.one_of(st.text(max_size=40), st.sampled_from(["", "ten_0", "refused", "granted", "checkpoint"])),
        int: st.one_of(st.integers(-3, 12), st.integers(-(2**63), 2**63 - 1)),
        bytes: st.one_of(st.binary(max_size=40), st.just(b"\0" * 32)),
    }
    strategy = st.one_of(kinds[type(old)], st.sampled_from(["x", b"x", 7]))
    new: object = draw.draw(strategy)
    if isinstance(old, str) and old and draw.draw(st.booleans()):
        place = draw.draw(st.integers(0, len(old) - 1))
        new = old[:place] + chr(ord(old[place]) ^ 1) + old[place + 1 :]
    return new


def change_a_value(all_rows: list[tuple[Any, ...]], draw: st.DataObject) -> list[tuple[Any, ...]]:
    number = draw.draw(st.integers(0, len(all_rows) - 1))
    column = draw.draw(st.integers(0, len(all_rows[0]) - 1))
    row = list(all_rows[number])
    new = other_value(row[column], draw)
    assume(new != row[column])
    row[column] = new
    return [*all_rows[:number], tuple(row), *all_rows[number + 1 :]]


def remove_a_row(all_rows: list[tuple[Any, ...]], draw: st.DataObject) -> list[tuple[Any, ...]]:
    number = draw.draw(st.integers(0, len(all_rows) - 1))
    return [*all_rows[:number], *all_rows[number + 1 :]]


def swap_columns_of_two(all_rows: list[tuple[Any, ...]], draw: st.DataObject) -> list[tuple[Any, ...]]:
    """Two records trade places: some columns stay where they were, the others are exchanged."""
    one, other = draw.draw(st.lists(st.integers(0, len(all_rows) - 1), min_size=2, max_size=2, unique=True))
    swapped = draw.draw(st.sets(st.integers(0, len(all_rows[0]) - 1), min_size=1))
    first, second = list(all_rows[one]), list(all_rows[other])
    for column in swapped:
        first[column], second[column] = second[column], first[column]
    new = list(all_rows)
    new[one], new[other] = tuple(first), tuple(second)
    assume(sorted(map(repr, new)) != sorted(map(repr, all_rows)))
    return new


def put_in_a_row(all_rows: list[tuple[Any, ...]], draw: st.DataObject) -> list[tuple[Any, ...]]:
    """A copy of a row, whole or with one other value, at any place of any chain."""
    row = list(all_rows[draw.draw(st.integers(0, len(all_rows) - 1))])
    for column in draw.draw(st.sets(st.integers(0, len(row) - 1), max_size=3)):
        row[column] = other_value(row[column], draw)
    return [*all_rows, tuple(row)]


@pytest.mark.parametrize("table", ["audit_records", "audit_chains"])
@pytest.mark.parametrize("tamper", [change_a_value, remove_a_row, swap_columns_of_two, put_in_a_row])
@given(draw=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_single_tampering_is_found(filled: Path, table: str, tamper: Any, draw: st.DataObject) -> None:
    def act(connection: sqlite3.Connection) -> None:
        replace_all(connection, table, tamper(rows(connection, table), draw))

    result = tampered(filled, act)
    assert not result.intact


def test_what_was_not_tampered_with_is_intact(filled: Path) -> None:
    result = tampered(filled, lambda connection: None)
    assert result.document() == {
        "intact": True,
        "chains": 3,
        "records": 18,
        "checkpoints": 6,
        "removed_by_retention": 0,
        "findings": [],
        "more_findings": 0,
    }


def test_a_text_that_is_no_text_any_more_is_a_changed_record(filled: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE audit_records SET body = CAST(x'ff' || body AS TEXT) WHERE chain_position = 2")

    assert {(each.problem, each.position) for each in tampered(filled, change).findings} == {("changed", 2)}


@pytest.mark.parametrize("position", [1, 3, 5])
def test_the_place_of_a_changed_record_is_named(filled: Path, position: int) -> None:
    seen: list[tuple[Any, ...]] = []

    def change(connection: sqlite3.Connection) -> None:
        row = next(row for row in rows(connection) if row[1] == position)
        seen.append(row)
        connection.execute(
            "UPDATE audit_records SET body = body || ' ' WHERE chain_id = ? AND chain_position = ?",
            (row[4], position),
        )

    result = tampered(filled, change)
    (finding,) = result.document()["findings"]
    assert (finding["problem"], finding["chain_id"], finding["position"], finding["request_id"]) == (
        "changed",
        seen[0][4],
        position,
        seen[0][0],
    )
    assert finding["occurred_at"].startswith("2026-")


def test_a_changed_link_is_one_place_not_two(filled: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE audit_records SET link = zeroblob(32) WHERE chain_position = 3")

    result = tampered(filled, change)
    assert {(each.problem, each.position) for each in result.findings} == {("changed", 3)}


def test_a_gap_is_named_from_end_to_end(filled: Path) -> None:
    def remove(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_records WHERE chain_position IN (2, 3)")

    result = tampered(filled, remove)
    assert {(each.problem, each.position, each.last) for each in result.findings} == {("missing", 2, 3)}


def test_a_cut_off_end_is_named(filled: Path) -> None:
    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_records WHERE chain_position >= 5")

    result = tampered(filled, cut)
    assert {(each.problem, each.position, each.last) for each in result.findings} == {("missing", 5, 6)}


def test_a_head_moved_back_over_a_cut_end_does_not_hold(filled: Path) -> None:
    def rewind(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_records WHERE chain_position >= 5")
        connection.execute("UPDATE audit_chains SET head_position = 4")

    assert {each.problem for each in tampered(filled, rewind).findings} >= {"head"}


def test_a_chain_that_is_gone_whole_is_missed_by_the_checkpoints(filled: Path) -> None:
    gone: list[str] = []

    def remove(connection: sqlite3.Connection) -> None:
        gone.append(connection.execute("SELECT chain_id FROM audit_chains ORDER BY head_at").fetchone()[0])
        for table in ("audit_records", "audit_chains"):
            connection.execute(f"DELETE FROM {table} WHERE chain_id = ?", gone)

    result = tampered(filled, remove)
    assert {(each.problem, each.chain_id) for each in result.findings} == {("chain_missing", gone[0])}


def test_an_end_cut_off_under_an_older_copy_of_its_head_is_missed_by_the_checkpoints(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> Verification:
        async with opened(tmp_path) as one, opened(tmp_path) as two:
            await one.audit.record(one.granted())
            with sqlite3.connect(path_in(tmp_path)) as connection:
                older = rows(connection, "audit_chains")
            await one.audit.record(one.granted())
            await two.audit.record(two.granted())
            await two.audit._checkpoints.write()
            with sqlite3.connect(path_in(tmp_path)) as connection:
                connection.execute("DELETE FROM audit_records WHERE chain_id = ? AND chain_position = 2", older[0][:1])
                connection.execute("DELETE FROM audit_chains WHERE chain_id = ?", older[0][:1])
                connection.execute("INSERT INTO audit_chains VALUES (?,?,?,?,?)", older[0])
            return await two.audit.verify()

    assert [(each.problem, each.position) for each in asyncio.run(run()).findings] == [("chain_missing", 2)]


def test_records_without_a_head_and_under_made_up_chains_are_found(filled: Path) -> None:
    def put_in(connection: sqlite3.Connection) -> None:
        row = (*rows(connection)[0][:4], "chn_made_up", *rows(connection)[0][5:])
        connection.execute("INSERT INTO audit_records VALUES (?,?,?,?,?,?,?)", row)

    result = tampered(filled, put_in)
    assert {(each.problem, each.chain_id) for each in result.findings} == {("head", "chn_made_up")}


def test_another_key_fits_nothing(filled: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(path_in(filled), path_in(Path(name)))
        result = verified(Path(name), key=b"\1" * 32)
    assert len(result.findings) >= 3


def test_more_findings_than_one_reads_are_counted(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> Verification:
        async with opened(tmp_path) as place:
            for _ in range(1200):
                place.audit.record_later(place.granted())
            await place.audit._buffer.flush()
            with sqlite3.connect(path_in(tmp_path)) as connection:
                connection.execute("UPDATE audit_records SET body = body || ' '")
            return await place.audit.verify()

    result = asyncio.run(run())
    assert len(result.findings) == 100
    assert result.more_findings == 1100


def test_a_checkpoint_made_unreadable_is_a_changed_record(filled: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE audit_records SET body = '{' WHERE outcome = 'checkpoint'")

    assert {each.problem for each in tampered(filled, change).findings} == {"changed"}


def test_many_claimants_of_one_place_are_all_named(filled: Path) -> None:
    def flood(connection: sqlite3.Connection) -> None:
        row = next(row for row in rows(connection) if row[1] == 2)
        connection.executemany("INSERT INTO audit_records VALUES (?,?,?,?,?,?,?)", [row] * 1300)

    result = tampered(filled, flood)
    assert {(each.problem, each.position) for each in result.findings} == {("extra", 2)}
    assert len(result.findings) == 100


def test_a_lost_head_fails_one_commit_and_starts_another_chain(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> None:
        async with opened(tmp_path) as place:
            await place.audit.record(place.granted())
            with sqlite3.connect(path_in(tmp_path)) as connection:
                connection.execute("DELETE FROM audit_chains")
            with pytest.raises(Exception, match="cannot answer"):
                await place.audit.record(place.granted())
            await place.audit.record(place.granted())
            result = await place.audit.verify()
            assert (result.chains, [each.problem for each in result.findings]) == (2, ["head"])

    asyncio.run(run())


def test_verifying_beside_a_writer_finds_nothing(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def write(place: Place) -> None:
        for _ in range(60):
            await asyncio.gather(*(place.audit.record(place.granted()) for _ in range(10)))

    async def verify(place: Place) -> None:
        for _ in range(10):
            assert (await place.audit.verify()).intact
            await asyncio.sleep(0)

    async def run() -> None:
        async with opened(tmp_path) as place:
            await asyncio.gather(write(place), verify(place))

    asyncio.run(run())
