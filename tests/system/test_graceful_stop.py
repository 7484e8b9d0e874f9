"""SIGTERM under load: every request that was taken gets its own answer, and nothing was done that was not answered.

Afterwards nothing is missing that had waited in memory: records of reads, use counts, the chain's last checkpoint.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.harness import CUT, Answer, Connection, Credentials, Omnilab, Server, connections_to_every_worker

KEEPING_OF_A_WORKER = 8  # callers that keep their connection
FRESH = 8  # callers that open one for every request
ANSWERS_BEFORE_THE_SIGNAL = 300
SLOW_SECONDS = 0.3


@dataclass(slots=True)
class Ledger:
    """What the callers were answered, all of them together."""

    tokens: int = 0
    lists: int = 0
    created: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    after_the_signal: int = 0
    signalled: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def answers(self) -> int:
        return self.tokens + self.lists + len(self.created) + len(self.cancelled)


class Caller:
    """Gets tokens, books, lists and cancels in turn until it cannot connect any more, and checks every answer."""

    def __init__(self, server: Server, client: Credentials, ledger: Ledger, connection: Connection | None) -> None:
        """With a connection it keeps one as long as the server does; without, every request opens its own."""
        self._server, self._client, self._ledger = server, client, ledger
        self._connection, self._keeps = connection, connection is not None

    async def run(self, name: str) -> None:
        number = 0
        try:
            while True:
                await self._round(f"{name}-{number}")
                number += 1
        except ConnectionRefusedError:
            return  # told before anything was sent: no request of ours was taken
        except CUT as error:
            self._ledger.wrong.append(f"{name}-{number}: {error!r}")

    async def _round(self, name: str) -> None:
        ledger, contact, booking = self._ledger, f"contact-{name}", f"bkg_{name}"
        token = (await self._ask(200, lambda line: line.token(self._client)))["access_token"]
        ledger.tokens += 1
        created = await self._ask(201, lambda line: line.create(token, booking_of(contact, booking)))
        assert created["booking_id"] == booking
        ledger.created.add(booking)
        listed = await self._ask(200, lambda line: line.bookings(token, contact))
        assert [each["booking_id"] for each in listed["bookings"]] == [booking]
        ledger.lists += 1
        cancelled = await self._ask(200, lambda line: line.cancel(token, contact, booking))
        assert (cancelled["booking_id"], cancelled["booking_status"]) == (booking, "CANCELLED")
        ledger.cancelled.add(booking)

    async def _ask(self, status: int, send: Callable[[Connection], Awaitable[Answer]]) -> dict[str, Any]:
        connection = self._connection or await Connection.open(self._server)
        answer = await send(connection)
        self._connection = connection if self._keeps and not answer.closes else None
        if self._connection is None:
            await connection.close()
        assert answer.status == status, answer
        self._ledger.after_the_signal += self._ledger.signalled
        return answer.document


def booking_of(contact: str, booking: str) -> dict[str, Any]:
    return {
        "external_id": contact,
        "booking_id": booking,
        "interaction_id": "int_1",
        "event_id": "evt_1",
        "slot_id": "slt_1",
        "slot_start_date": "2030-01-01T10:00:00Z",
        "slot_end_date": "2030-01-01T11:00:00Z",
    }


def test_a_stop_under_load_answers_everything_it_took(omnilab: Omnilab) -> None:
    [client] = omnilab.seed(tenants=1, clients=1)
    ledger = Ledger()
    with omnilab.serve(workers=2) as server:  # its exit code is checked at the end of the block
        asyncio.run(load_and_stop(server, client, ledger))
        server.process.wait(40)  # a second signal would mean: at once

    logging.getLogger(__name__).info(
        "answers: %s, of them after the signal: %s", ledger.answers, ledger.after_the_signal
    )
    assert ledger.wrong == []
    assert ledger.after_the_signal > 0
    statuses = dict(omnilab.rows("SELECT booking_id, booking_status FROM bookings"))
    assert statuses.keys() == ledger.created
    assert {booking for booking, status in statuses.items() if status == "CANCELLED"} == ledger.cancelled
    assert omnilab.rows("SELECT places_taken FROM slots") == [(len(ledger.created) - len(ledger.cancelled),)]
    assert dict(omnilab.rows(RECORDED)) == {
        "oauth:token": ledger.tokens,
        "bookings:read": ledger.lists,
        "bookings:create": len(ledger.created),
        "bookings:cancel": len(ledger.cancelled),
    }
    [secret] = omnilab.cli("secrets", "list", client.client_id)["secrets"]
    assert secret["use_count"] == ledger.tokens
    assert omnilab.cli("audit", "verify")["intact"] is True


RECORDED = """
SELECT json_extract(body, '$.endpoint') AS endpoint, count(*) FROM audit_records
WHERE outcome = 'granted' AND json_extract(body, '$.address') IS NOT NULL GROUP BY endpoint
"""


async def load_and_stop(server: Server, client: Credentials, ledger: Ledger) -> None:
    """Load the server, signal it in the middle, and go on until no connection is taken any more."""
    kept = await connections_to_every_worker(server, KEEPING_OF_A_WORKER)
    token = str((await kept[0].token(client)).document["access_token"])
    ledger.tokens += 1
    slow = await connections_to_every_worker(server, 1)
    async with asyncio.TaskGroup() as tasks:
        for number, connection in enumerate([*kept, *[None] * FRESH]):
            tasks.create_task(Caller(server, client, ledger, connection).run(f"{number}"))
        while ledger.answers < ANSWERS_BEFORE_THE_SIGNAL:
            await asyncio.sleep(0.005)
        for number, connection in enumerate(slow):
            tasks.create_task(create_slowly(connection, token, f"bkg_slow-{number}", ledger))
        await asyncio.sleep(SLOW_SECONDS / 3)
        ledger.signalled = True
        server.process.send_signal(signal.SIGTERM)


async def create_slowly(connection: Connection, token: str, booking: str, ledger: Ledger) -> None:
    """A request whose body is on its way when the signal comes."""
    body = json.dumps(booking_of("contact-slow", booking)).encode()
    head = (
        f"POST /v1/interactions:createContactBooking HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    connection.begin(head + body[:20])
    await asyncio.sleep(SLOW_SECONDS)
    assert ledger.signalled
    answer = await connection.send(body[20:])
    assert answer.status == 201, answer
    ledger.created.add(booking)
