"""One `Idempotency-Key` does one thing and gets one answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from omnilab.bookings.service import Repeat
from omnilab.errors import ConflictError, UnavailableError
from omnilab.storage.database import DuplicateRowError, Transaction
from omnilab.storage.idempotency import KEPT_MS, SWEEP_ROWS, Answer, RepeatableCall, repeatable_call
from tests.bookings.rig import OTHER, Rig, new_database, opened, outcome, with_rig
from tests.harness.databases import BOTH_ENGINES, bytes_of, run_sql

pytestmark = BOTH_ENGINES

BODY = {"external_id": "contact-1", "booking_id": "b1"}


def test_the_first_answer_is_given_again_byte_for_byte(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        first = await rig.create("b1", repeat=Repeat("key-1", BODY))
        rig.clock.at_ms += 1234
        again = await rig.create("b1", repeat=Repeat("key-1", BODY))
        assert (first.replayed, again.replayed) == (False, True)
        assert again[:2] == first[:2]
        assert await rig.places() == 1
        cancelled = await rig.cancel("b1", repeat=Repeat("key-1", BODY))  # another call: the key is new there
        assert (await rig.cancel("b1", repeat=Repeat("key-1", BODY)))[:2] == cancelled[:2]
        assert await outcome(rig.cancel("b1")) == "booking_already_cancelled"
        assert await rig.places() == 0

    with_rig(tmp_path, action)


def test_another_body_is_refused_and_does_nothing(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1", repeat=Repeat("key-1", BODY))
        assert await outcome(rig.create("b2", repeat=Repeat("key-1", {**BODY, "booking_id": "b2"}))) == (
            "idempotency_key_reused"
        )
        assert (await rig.list_ids())[0] == ["b1"]

    with_rig(tmp_path, action)


def test_only_success_is_kept(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        repeat = Repeat("key-1", BODY)
        assert await outcome(rig.cancel("b1", repeat=repeat)) == "booking_not_found"
        await rig.create("b1")
        answer = await rig.cancel("b1", repeat=repeat)
        assert (answer.status, answer.replayed) == (200, False)

    with_rig(tmp_path, action)


def test_a_key_counts_per_client_and_per_tenant(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        repeat = Repeat("key-1", BODY)
        assert not (await rig.create("b1", repeat=repeat)).replayed
        assert not (await rig.create("b1", tenant_id=OTHER, repeat=repeat)).replayed
        other_client = rig.origin(client_id="cli_2")
        assert not (await rig.cancel("b1", origin=other_client, repeat=repeat)).replayed
        assert await outcome(rig.cancel("b1", repeat=repeat)) == "booking_already_cancelled"

    with_rig(tmp_path, action)


def test_200_concurrent_repeats_do_it_once(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        answers = await asyncio.gather(*(rig.create(repeat=Repeat("key-1", {})) for _ in range(200)))
        assert len({answer.body for answer in answers}) == 1
        assert Counter(answer.replayed for answer in answers) == {False: 1, True: 199}
        assert await rig.places() == 1

    with_rig(tmp_path, action)


def test_an_answer_is_kept_for_a_day(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        first = await rig.create(repeat=Repeat("key-1", {}))
        rig.clock.at_ms += KEPT_MS - 1
        assert (await rig.create(repeat=Repeat("key-1", {}))).body == first.body
        rig.clock.at_ms += 1
        later = await rig.create(repeat=Repeat("key-1", {"another": "body"}))
        assert later.body != first.body
        assert not later.replayed

    with_rig(tmp_path, action)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": [1, {"c": 2}]}, {"b": [1, {"c": 2}], "a": 1}, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 100}, {"a": 1e2}, True),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": None}, {}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": 1.5}, {"a": 1}, False),
        ({"a": True}, {"a": 1}, False),
    ],
)
def test_bodies_are_compared_as_json(one: object, other: object, same: bool) -> None:
    calls = [
        repeatable_call(b"k" * 32, ("ten_1", "cli_1"), call="bookings:create", key="key", body=body)
        for body in (one, other)
    ]
    assert (calls[0] == calls[1]) is same


def test_key_and_body_lie_in_the_database_as_hmacs_only(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1", repeat=Repeat("a-readable-key", {"reason": "a-readable-body"}))

    with_rig(tmp_path, action)
    path = tmp_path / "omnilab.db"
    lengths = run_sql(path, "SELECT length(key_digest), length(body_digest) FROM idempotency_records")
    assert lengths == [(32, 32)]
    kept = bytes_of(path)
    assert b"a-readable-key" not in kept
    assert b"a-readable-body" not in kept


def test_expired_answers_are_swept_in_batches(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        for number in range(SWEEP_ROWS + 5):
            await rig.idempotency.write(call(f"key-{number}"), done)
        assert await rig.idempotency.sweep() == 0
        rig.clock.at_ms += 1000
        await rig.idempotency.write(call("young"), done)
        rig.clock.at_ms += KEPT_MS - 1000
        assert await rig.idempotency.sweep() == SWEEP_ROWS
        assert await rig.idempotency.sweep() == 5
        assert await rig.idempotency.sweep() == 0
        assert (await rig.idempotency.write(call("young"), done)).replayed

    with_rig(tmp_path, action)


def test_sweeping_goes_on_by_itself(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        for number in range(SWEEP_ROWS + 5):
            await rig.idempotency.write(call(f"key-{number}"), done)
        rig.clock.at_ms += KEPT_MS
        task = asyncio.ensure_future(rig.idempotency.run_sweeps())
        while run_sql(rig.path, "SELECT count(*) FROM idempotency_records") != [(0,)]:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with_rig(tmp_path, action)


def test_a_sweep_that_fails_is_tried_again_later(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(new_database(tmp_path)) as rig:
            pass
        task = asyncio.ensure_future(rig.idempotency.run_sweeps())  # the database is closed
        await asyncio.sleep(0.02)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize(("key", "code"), [("key", "idempotency_in_progress"), (None, "temporarily_unavailable")])
def test_a_writer_that_is_overtaken_again_and_again_is_told_to_wait(tmp_path: Path, key: str | None, code: str) -> None:
    """What a server database does when other machines write the same rows at the same time."""
    tries = []

    async def overtaken(tx: Transaction) -> Answer:
        tries.append(tx)
        raise DuplicateRowError("another machine was first")

    async def action(rig: Rig) -> None:
        with pytest.raises((ConflictError, UnavailableError)) as refused:
            await rig.idempotency.write(None if key is None else call(key), overtaken)
        assert refused.value.code == code
        assert refused.value.retry_after_seconds == 1
        assert len(tries) == 3

    with_rig(tmp_path, action)


def test_a_replay_runs_without_anything_to_do(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        assert not (await rig.idempotency.write(call("key"), done)).replayed
        assert (await rig.idempotency.write(call("key"), done)).replayed

    with_rig(tmp_path, action)


def call(key: str) -> RepeatableCall:
    return repeatable_call(b"k" * 32, ("ten_1", "cli_1"), call="bookings:create", key=key, body={})


async def done(tx: Transaction) -> Answer:
    return Answer(201, b"{}")
