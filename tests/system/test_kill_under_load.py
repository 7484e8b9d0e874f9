"""`kill -9` under load: nothing that a client was answered is lost, nothing is done twice, and nothing needs repair.

The clients keep a ledger of what they were answered. Afterwards it is held against the database, row by row. A call
that the kill left without its answer is sent again with its Idempotency-Key, as the contract tells clients to do.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness import CUT, Answer, Connection, Credentials, Omnilab, Server, connections_to_every_worker

KILLS = 20
CALLERS = 12
ANSWERS_BEFORE_A_KILL = (20, 300)
# Slots of which some fill up on the way; a slot's first booking sets its capacity.
CAPACITIES = (3, 40, 400, None)
WITHIN_SECONDS = 20.0

GRANTED_TOKENS = """
SELECT request_id FROM audit_records WHERE outcome = 'granted' AND json_extract(body, '$.endpoint') = 'oauth:token'
"""
WRITES_DONE = """
SELECT json_extract(body, '$.endpoint'), json_extract(body, '$.details.booking_id') FROM audit_records
WHERE outcome = 'granted' AND json_extract(body, '$.endpoint') IN ('bookings:create', 'bookings:cancel')
AND json_extract(body, '$.details.replayed') IS NULL
"""
PLACES = """
SELECT slots.slot_id, slots.capacity, slots.places_taken, count(bookings.booking_id) FROM slots LEFT JOIN bookings
ON bookings.tenant_id = slots.tenant_id AND bookings.slot_id = slots.slot_id
AND bookings.booking_status IN ('CONFIRMED', 'CHECKED_IN') GROUP BY slots.tenant_id, slots.slot_id
"""


@dataclass(frozen=True, slots=True)
class Write:
    """A call that changes something, with the key under which it may be sent again."""

    call: str
    body: dict[str, Any]
    key: str


@dataclass(slots=True)
class Ledger:
    """What the callers were answered, all of them together."""

    request_ids: list[str] = field(default_factory=list)
    created: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unanswered: list[Write] = field(default_factory=list)
    answers: int = 0
    sent_again: int = 0

    def note(self, write: Write, answer: Answer) -> None:
        self.answers += 1
        if answer.status == (201 if write.call == "create" else 200):
            (self.created if write.call == "create" else self.cancelled).add(write.body["booking_id"])
        else:
            self.refused.add(f"{write.call}: {answer.status} {answer.code}")


@pytest.mark.timeout(300)  # it starts a server 21 times
def test_twenty_kills_lose_nothing_that_was_answered(omnilab: Omnilab) -> None:
    [client] = omnilab.seed(tenants=1, clients=1)
    ledger, chance, token = Ledger(), random.Random(20), ""
    for kill in range(KILLS):
        server = omnilab.start(workers=2)  # every time the same command, on what the kill left
        server.wait_until_ready()
        token = asyncio.run(load_and_kill(server, client, ledger, chance, (f"k{kill}", token)))
        server.process.wait(WITHIN_SECONDS)
        server.stop()
    with omnilab.serve(workers=2) as server:
        asyncio.run(send_again(server, token, ledger))

    assert ledger.refused == {"create: 409 slot_full"}
    counts = [len(ledger.request_ids), len(ledger.created), len(ledger.cancelled), ledger.sent_again]
    logging.getLogger(__name__).info("tokens, bookings, cancels and writes sent again: %s", counts)
    assert min(counts) > KILLS
    compare_with_database(omnilab, ledger)
    assert omnilab.cli("audit", "verify")["intact"] is True
    [record] = omnilab.cli("audit", "show", ledger.request_ids[-1])["records"]
    assert (record["endpoint"], record["outcome"]) == ("oauth:token", "granted")


async def load_and_kill(
    server: Server, client: Credentials, ledger: Ledger, chance: random.Random, burst: tuple[str, str]
) -> str:
    """Send again what was cut, then load the server and kill all of it somewhere in the middle; returns a token.

    `burst` is a name for its bookings, and a token of the server that was killed before: it still holds.
    """
    name, earlier_token = burst
    await send_again(server, earlier_token, ledger)
    kill_at = ledger.answers + chance.randint(*ANSWERS_BEFORE_A_KILL)
    callers = [asyncio.create_task(call(server, client, ledger, f"{name}-{each}")) for each in range(CALLERS)]
    while ledger.answers < kill_at:
        assert not any(each.done() for each in callers), "a caller ended before the kill"
        await asyncio.sleep(0.001)
    victims = [server.process.pid, *server.worker_pids()]
    assert len(victims) == 3
    chance.shuffle(victims)
    for pid in victims:
        with suppress(ProcessLookupError):  # workers die with their parent
            os.kill(pid, signal.SIGKILL)
    # A caller may have been cut before it had any token.
    return next(filter(None, await asyncio.gather(*callers)), earlier_token)


async def call(server: Server, client: Credentials, ledger: Ledger, name: str) -> str:
    """Get a token, book and cancel, again and again until the server is gone; returns the last token."""
    token, number = "", 0
    with suppress(*CUT):
        connection = await Connection.open(server)
        while True:
            token = await token_of(connection, client, ledger)
            create, cancel = writes(f"{name}-{number}", number)
            booked = await attempt(connection, token, create, ledger)
            if booked.status == 201 and number % 3:
                await attempt(connection, token, cancel, ledger)
            number += 1
    return token


async def token_of(connection: Connection, client: Credentials, ledger: Ledger) -> str:
    answer = await connection.token(client)
    assert answer.status == 200, answer.body
    token = str(answer.document["access_token"])
    payload = token.split(".")[1]
    request_id = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    assert request_id == answer.headers["x-request-id"]
    ledger.request_ids.append(request_id)
    ledger.answers += 1
    return token


async def attempt(connection: Connection, token: str, write: Write, ledger: Ledger) -> Answer:
    """Send a write; it stays in the ledger as unanswered where no answer comes."""
    ledger.unanswered.append(write)
    path = f"/v1/interactions:{write.call}ContactBooking"
    answer = await connection.post(path, write.body, token, idempotency_key=write.key)
    ledger.unanswered.remove(write)
    ledger.note(write, answer)
    return answer


async def send_again(server: Server, token: str, ledger: Ledger) -> None:
    unanswered, ledger.unanswered = ledger.unanswered, []
    ledger.sent_again += len(unanswered)
    connection = await Connection.open(server)
    for write in unanswered:
        await attempt(connection, token, write, ledger)
    await connection.close()


def writes(name: str, number: int) -> tuple[Write, Write]:
    """Booking a place in one of the slots, and cancelling it."""
    slot = number % len(CAPACITIES)
    booking = {"external_id": "contact-1", "booking_id": f"bkg_{name}"}
    place = {
        "interaction_id": "int_1",
        "event_id": "evt_1",
        "slot_id": f"slt_{slot}",
        "slot_start_date": "2030-01-01T10:00:00Z",
        "slot_end_date": "2030-01-01T11:00:00Z",
        "slot_capacity": CAPACITIES[slot],
    }
    return Write("create", booking | place, f"create-{name}"), Write("cancel", booking, f"cancel-{name}")


def compare_with_database(omnilab: Omnilab, ledger: Ledger) -> None:
    """Since every cut call was sent again, the ledger and the database must now be equal, not only agree."""
    assert omnilab.rows("PRAGMA integrity_check") == [("ok",)]
    recorded = {request_id for (request_id,) in omnilab.rows(GRANTED_TOKENS)}
    assert set(ledger.request_ids) <= recorded

    statuses = dict(omnilab.rows("SELECT booking_id, booking_status FROM bookings"))
    assert statuses.keys() == ledger.created
    assert {booking for booking, status in statuses.items() if status == "CANCELLED"} == ledger.cancelled
    assert set(statuses.values()) == {"CONFIRMED", "CANCELLED"}

    counted = omnilab.rows(PLACES)
    assert len(counted) == len(CAPACITIES)
    for slot_id, capacity, places_taken, holding in counted:
        assert places_taken == holding, slot_id
        assert capacity is None or places_taken <= capacity, slot_id

    done = omnilab.rows(WRITES_DONE)
    assert sorted(booking for endpoint, booking in done if endpoint == "bookings:create") == sorted(ledger.created)
    assert sorted(booking for endpoint, booking in done if endpoint == "bookings:cancel") == sorted(ledger.cancelled)


def test_a_killed_worker_disturbs_nobody_else_and_a_killed_parent_takes_all_with_it(omnilab: Omnilab) -> None:
    [client] = omnilab.seed(tenants=1, clients=1)
    server = omnilab.start(workers=2)
    server.wait_until_ready()
    ledger = Ledger()
    workers = asyncio.run(kill_worker_then_parent(server, client, ledger))
    until(lambda: not any(is_alive(pid) for pid in workers))
    assert server.log.count("worker_replaced") == 1
    server.stop()
    with omnilab.serve(workers=2) as again:
        assert again.token(client)
    recorded = {request_id for (request_id,) in omnilab.rows(GRANTED_TOKENS)}
    assert set(ledger.request_ids) <= recorded
    assert omnilab.cli("audit", "verify")["intact"] is True


async def kill_worker_then_parent(server: Server, client: Credentials, ledger: Ledger) -> list[int]:
    """Kill one of two workers under load, see it replaced, kill the parent; returns the workers of that moment."""
    victim, survivor = server.worker_pids()
    connections = await connections_to_every_worker(server, 3)
    callers = {each: asyncio.create_task(until_cut(each, client, ledger)) for each in connections}
    await answers(ledger, 200)
    os.kill(victim, signal.SIGKILL)
    await asyncio.gather(*(task for each, task in callers.items() if each.worker == victim))
    await answers(ledger, 200)
    while len(server.worker_pids()) < 2:
        await asyncio.sleep(0.01)
    workers = server.worker_pids()
    assert survivor in workers
    assert victim not in workers

    newcomers = await connections_to_every_worker(server, 3)
    callers |= {each: asyncio.create_task(until_cut(each, client, ledger)) for each in newcomers}
    await answers(ledger, 200)
    assert [each.worker for each, task in callers.items() if task.done()] == [victim] * 3
    os.kill(server.process.pid, signal.SIGKILL)
    await asyncio.gather(*callers.values())
    return workers


async def until_cut(connection: Connection, client: Credentials, ledger: Ledger) -> None:
    with suppress(*CUT):
        while True:
            await token_of(connection, client, ledger)


async def answers(ledger: Ledger, more: int) -> None:
    enough = ledger.answers + more
    while ledger.answers < enough:
        await asyncio.sleep(0.005)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
