"""Listing a contact's bookings: order, pages, filters, and what it costs the database."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnilab.bookings.model.booking import ListQuery
from omnilab.bookings.routes.requests import LIST_READER, read_list
from omnilab.bookings.store import count_statement, list_statement
from omnilab.errors import RequestError
from tests.bookings.rig import ACME, HOUR_MS, OTHER, START_MS, Rig, new_database, with_rig


def test_by_slot_start_then_id(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        for booking_id, hours in (("b", 2), ("c", 1), ("a", 2), ("d", 0)):
            await rig.create(booking_id, slot_id=f"slot-{hours}", start_ms=START_MS + hours * HOUR_MS)
        assert await rig.list_ids() == (["d", "c", "a", "b"], 4)

    with_rig(tmp_path, action)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6])
def test_pages_hold_everything_once(tmp_path: Path, count: int) -> None:
    async def action(rig: Rig) -> None:
        for number in range(count):
            await rig.create(f"b{number}")
        seen: list[str] = []
        for page in range(1, 5):
            ids, total = await rig.list_ids(size=2, page=page)
            assert total == count
            seen += ids
        assert seen == [f"b{number}" for number in range(count)]
        assert await rig.list_ids(size=200, page=2**53) == ([], count)

    with_rig(tmp_path, action)


def test_filters_agree_with_a_plain_search(tmp_path: Path) -> None:
    """Every combination of filters against the same search written in Python."""

    async def action(rig: Rig) -> None:
        for number in range(12):
            hours = number % 4
            await rig.create(
                f"b{number:02}", slot_id=f"slot-{number}", start_ms=START_MS + hours * HOUR_MS,
                interaction_id="spring" if number % 3 else "autumn",
            )  # fmt: skip
        for number in (1, 4, 7):
            await rig.cancel(f"b{number:02}")
        everything = [await rig.booking(f"b{number:02}") for number in range(12)]
        times = (None, START_MS, START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)
        for interaction, booking, statuses, after, before in itertools.product(
            (None, "spring", "nothing"), (None, "b04"), ((), ("CANCELLED",), ("CONFIRMED", "CANCELLED")), times, times
        ):
            wanted = sorted(
                (each.slot_start_at, each.booking_id)
                for each in everything
                if interaction in (None, each.interaction_id)
                and booking in (None, each.booking_id)
                and (not statuses or each.booking_status in statuses)
                and (after is None or each.slot_start_at > after)
                and (before is None or each.slot_start_at < before)
            )
            found = await rig.list_ids(
                interaction_id=interaction, booking_id=booking, statuses=statuses, starts_after=after,
                starts_before=before, size=5,
            )  # fmt: skip
            assert found == ([each[1] for each in wanted[:5]], len(wanted))

    with_rig(tmp_path, action)


def test_another_tenants_and_another_contacts_bookings_are_not_there(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("mine")
        await rig.create("theirs", tenant_id=OTHER)
        await rig.create("friends", contact="contact-2")
        assert await rig.list_ids() == (["mine"], 1)
        assert await rig.list_ids(tenant_id=OTHER) == (["theirs"], 1)
        assert await rig.list_ids(booking_id="friends") == ([], 0)
        assert await rig.list_ids("nobody") == ([], 0)
        assert await rig.list_ids("contact-1' OR 1=1 --") == ([], 0)

    with_rig(tmp_path, action)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255), max_size=4))
def test_any_text_is_an_id(tmp_path: Path, ids: list[str]) -> None:
    async def action(rig: Rig) -> None:
        for contact in set(ids):
            await rig.create(contact, contact=contact)
        for contact in set(ids):
            assert await rig.list_ids(contact) == ([contact], 1)

    with_rig(tmp_path, action)


SHAPES = list(itertools.product((False, True), repeat=5))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_list_is_a_range_of_an_index(tmp_path: Path, shape: tuple[bool, bool, bool, bool, bool]) -> None:
    """No scan, no sort: a contact's list costs the same with ten thousand and ten million bookings."""
    connection = sqlite3.connect(new_database(tmp_path))
    for statement in (list_statement(shape), count_statement(shape)):
        sql, _ = statement.bind("sqlite", tuple(range(20)))
        plan = " / ".join(
            row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", [ACME] * sql.count("?")).fetchall()
        )
        assert "SCAN" not in plan
        assert "TEMP B-TREE" not in plan
        if shape[1]:  # with a booking_id its own unique index may do
            assert "INDEX bookings_by_id (tenant_id=? AND booking_id=?" in plan or "USING PRIMARY KEY" in plan
        else:
            assert "USING PRIMARY KEY (tenant_id=? AND external_id=?" in plan
    connection.close()


QUERIES = st.builds(
    lambda name, value, more: f"{name}={value}{more}".encode(),
    st.sampled_from(["external_id", "external_id", "external_id", "externalid", ""]),
    st.text("abcXYZ019._~:@-+%&= /", max_size=12)
    | st.integers(250, 260).map(lambda length: "x" * length)
    | st.sampled_from(["omni_dev_" + "aB3" * 16, "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl", "a%40b.example"]),
    st.sampled_from(["", "", "", "&page_size=3", "&external_id=x", "\n"]),
)


@given(QUERIES)
def test_the_usual_query_is_read_as_the_strict_reader_reads_it(query: bytes) -> None:
    assert _read_by(read_list, query) == _read_by(lambda each: LIST_READER.read(each).query(), query)


def _read_by(read: Callable[[bytes], ListQuery], query: bytes) -> object:
    try:
        return read(query)
    except RequestError as error:
        return error.code, error.detail
