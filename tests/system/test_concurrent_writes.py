"""Two hundred calls at one moment, two workers: one cancel wins, a slot of ten takes ten, one key does one thing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness import Answer, Connection, Credentials, Omnilab, Server, connections_to_every_worker

CALLS = 200
WORKERS = 2
CREATE, CANCEL = "/v1/interactions:createContactBooking", "/v1/interactions:cancelContactBooking"
CANCEL_ALIAS = "/v1/interactions:cancelBooking"

Call = Callable[[int, Connection], Awaitable[Answer]]
Said = Counter[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Running:
    """Two workers, and a token for everything."""

    omnilab: Omnilab
    server: Server
    token: str

    def at_once(self, call: Call) -> list[Answer]:
        """Make `CALLS` calls at one moment, each on a connection of its own, the same number to each worker."""

        async def act() -> list[Answer]:
            connections = await connections_to_every_worker(self.server, CALLS // WORKERS)
            answers = await asyncio.gather(*(call(number, each) for number, each in enumerate(connections)))
            for each in connections:
                await each.close()
            return answers

        return asyncio.run(act())

    def create(self, **body: Any) -> Answer:
        """One create, before or after the crowd."""

        async def act() -> Answer:
            connection = await Connection.open(self.server)
            answer = await connection.post(CREATE, body, self.token)
            await connection.close()
            return answer

        return asyncio.run(act())

    def places_taken(self, slot_id: str) -> int:
        """The slot's own count, after checking it against the bookings that hold a place."""
        [(taken,)] = self.omnilab.rows("SELECT places_taken FROM slots WHERE slot_id = ?", slot_id)
        [(holding,)] = self.omnilab.rows(
            "SELECT count(*) FROM bookings WHERE slot_id = ? AND booking_status IN ('CONFIRMED', 'CHECKED_IN')", slot_id
        )
        assert taken == holding
        return int(taken)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provisioned: tuple[Omnilab, Credentials]) -> Iterator[Running]:
    template, client = provisioned
    omnilab = template.copied_to(tmp_path_factory.mktemp("concurrent"))
    with omnilab.serve(workers=WORKERS) as server:
        yield Running(omnilab, server, server.token(client))


def booking(slot_id: str, capacity: int | None, booking_id: str | None = None) -> dict[str, Any]:
    return {
        "external_id": "contact-7",
        "interaction_id": "int_7",
        "event_id": "evt_7",
        "slot_id": slot_id,
        "slot_start_date": "2031-05-05T10:00:00Z",
        "slot_end_date": "2031-05-05T11:00:00Z",
        "slot_capacity": capacity,
    } | ({"booking_id": booking_id} if booking_id else {})


def said(answers: list[Answer]) -> Said:
    return Counter((answer.status, answer.code) for answer in answers)


def test_one_of_many_cancels_wins_and_the_place_is_freed_once(running: Running) -> None:
    for name in ("bkg_wanted", "bkg_other"):
        assert running.create(**booking("slt_cancel", 2, name)).status == 201
    assert running.create(**booking("slt_cancel", 2)).code == "slot_full"
    body = {"external_id": "contact-7", "booking_id": "bkg_wanted"}

    answers = running.at_once(
        lambda number, connection: connection.post((CANCEL, CANCEL_ALIAS)[number % 2], body, running.token)
    )

    assert said(answers) == {(200, ""): 1, (409, "booking_already_cancelled"): CALLS - 1}
    assert running.places_taken("slt_cancel") == 1
    assert running.create(**booking("slt_cancel", 2)).status == 201
    assert running.create(**booking("slt_cancel", 2)).code == "slot_full"
    recorded = running.omnilab.rows(
        "SELECT outcome, count(*) FROM audit_records WHERE json_extract(body, '$.endpoint') = 'bookings:cancel'"
        " GROUP BY outcome ORDER BY outcome"
    )
    assert recorded == [("granted", 1), ("refused", CALLS - 1)]


def test_a_slot_of_ten_that_nobody_has_booked_before_takes_ten(running: Running) -> None:
    answers = running.at_once(lambda _, connection: connection.create(running.token, booking("slt_ten", 10)))
    assert said(answers) == {(201, ""): 10, (409, "slot_full"): CALLS - 10}
    assert running.places_taken("slt_ten") == 10
    assert len({answer.document["booking_id"] for answer in answers if answer.status == 201}) == 10


def test_a_booking_id_is_taken_once(running: Running) -> None:
    body = booking("slt_one", None, "bkg_one")
    answers = running.at_once(lambda _, connection: connection.create(running.token, body))
    assert said(answers) == {(201, ""): 1, (409, "booking_exists"): CALLS - 1}
    assert running.places_taken("slt_one") == 1


def test_creates_and_cancels_across_each_other_keep_the_count(running: Running) -> None:
    for number in range(10):
        assert running.create(**booking("slt_both", 10, f"bkg_both_{number}")).status == 201

    async def call(number: int, connection: Connection) -> Answer:
        if number % 2:
            return await connection.create(running.token, booking("slt_both", 10))
        return await connection.cancel(running.token, "contact-7", f"bkg_both_{number // 2 % 10}")

    counted = said(running.at_once(call))
    assert counted[200, ""] == 10
    assert counted[409, "booking_already_cancelled"] == CALLS // 2 - 10
    assert counted[201, ""] + counted[409, "slot_full"] == CALLS // 2
    assert running.places_taken("slt_both") == counted[201, ""] <= 10


@pytest.mark.parametrize("path", [CREATE, CANCEL])
def test_one_key_is_one_execution_and_the_same_bytes_for_all(running: Running, path: str) -> None:
    """A second call may wait for the first one's answer or be told that it is in progress; it is never run."""
    slot, status = ("slt_key_create", 201) if path == CREATE else ("slt_key_cancel", 200)
    body: dict[str, Any] = booking(slot, 5)
    if path == CANCEL:
        assert running.create(**booking(slot, 5, "bkg_key")).status == 201
        body = {"external_id": "contact-7", "booking_id": "bkg_key"}

    answers = running.at_once(lambda _, connection: connection.post(path, body, running.token, idempotency_key=slot))

    given = [answer for answer in answers if answer.code != "idempotency_in_progress"]
    assert {answer.status for answer in given} == {status}
    assert len({answer.body for answer in given}) == 1
    assert len({answer.headers["x-request-id"] for answer in answers}) == CALLS
    replayed = Counter(answer.headers.get("idempotency-replayed") for answer in given)
    assert replayed == {None: 1, "true": len(given) - 1}
    assert running.places_taken(slot) == (1 if path == CREATE else 0)


def test_one_key_with_two_bodies_does_the_one_that_came_first(running: Running) -> None:
    bodies = [booking(f"slt_two_{number}", 5) for number in range(2)]

    answers = running.at_once(
        lambda number, connection: connection.create(running.token, bodies[number % 2], idempotency_key="two")
    )

    given = [answer for answer in answers if answer.status == 201]
    assert len({answer.body for answer in given}) == 1
    assert {answer.code for answer in answers} <= {"", "idempotency_key_reused", "idempotency_in_progress"}
    assert sum(answer.code == "idempotency_key_reused" for answer in answers) > 0
    [(count,)] = running.omnilab.rows("SELECT count(*) FROM bookings WHERE slot_id LIKE 'slt_two_%'")
    assert count == 1
