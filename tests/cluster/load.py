"""Callers of a cluster while something breaks, and what they saw: every answer, how long it took, what it promised."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from tests.harness import CUT, Answer, Connection, Credentials, Server

CALLERS_OF_A_NODE = 2
# A caller's pause between its turns. Faults are met at any rate; a high one only takes time from other tests.
PAUSE_SECONDS = 0.03


@dataclass(slots=True)
class Seen:
    """What the callers of one cluster saw. granted: ids of requests that got a token; cancelled: by booking id.

    granted_at: when each node last gave a token, for which it has to write. A list tells less: it is only read.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    cut: Counter[int] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)
    cancelled: dict[str, str] = field(default_factory=dict)
    longest_seconds: float = 0.0
    granted_at: dict[int, float] = field(default_factory=dict)

    def take(self, node: int, answer: Answer, began: float) -> None:
        self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
        self.statuses[answer.status] += 1
        is_put_off = answer.status == 503 and answer.headers.get("retry-after", "").isdigit()
        if answer.status != 200 and not is_put_off:
            self.strange.append(f"node {node}: {answer.status} {answer.body!r}")

    def row(self, fault: str, recovered: float) -> str:
        """A line of docs/faults.md."""
        cut = self.cut.total()
        told = f"{self.statuses.total() + cut:,} | {self.statuses[200]:,} | {self.statuses[503]:,} | {cut}"
        return f"| {fault} | {told} | {self.longest_seconds:.1f} s | {recovered:.1f} s |"


class Callers:
    """Tokens, lists and cancels on every node until `ended`."""

    def __init__(self, servers: list[Server], client: Credentials, bookings: Iterator[tuple[str, str]]) -> None:
        self.servers = servers
        self.client = client
        self.bookings = bookings
        self.seen = Seen()
        self.ended = False

    async def run(self, node: int) -> None:
        """One caller of one node; a connection that was cut is opened again."""
        token, pending, turns = "", None, count()
        while not self.ended:
            try:
                connection = await Connection.open(self.servers[node])
            except OSError:
                self.seen.cut[node] += 1
                await asyncio.sleep(0.05)
                continue
            try:
                while not self.ended:
                    token = await self._token(node, connection) or token
                    if token:
                        began = time.monotonic()
                        self.seen.take(node, await connection.bookings(token, "contact-1"), began)
                        # A cancel every other turn: a fast machine ran out of bookings.
                        if pending is None and next(turns) % 2 == 0:
                            pending = next(self.bookings, None)
                        if pending is not None:
                            pending = await self._cancel(node, connection, token, pending)
                    await asyncio.sleep(PAUSE_SECONDS)
            except CUT:
                self.seen.cut[node] += 1
            finally:
                await connection.close()

    async def _token(self, node: int, connection: Connection) -> str:
        began = time.monotonic()
        answer = await connection.token(self.client)
        self.seen.take(node, answer, began)
        if answer.status != 200:
            return ""
        self.seen.granted_at[node] = time.monotonic()
        self.seen.granted.append(answer.headers["x-request-id"])
        return str(answer.document["access_token"])

    async def _cancel(
        self, node: int, connection: Connection, token: str, booking: tuple[str, str]
    ) -> tuple[str, str] | None:
        """Cancel a booking under one key until it is answered; None once it is."""
        external_id, booking_id = booking
        began = time.monotonic()
        answer = await connection.cancel(token, external_id, booking_id, idempotency_key=f"key-{booking_id}")
        if answer.status == 409 and answer.code == "idempotency_in_progress":
            return booking
        self.seen.take(node, answer, began)
        if answer.status != 200:
            return booking
        self.seen.cancelled[booking_id] = answer.headers["x-request-id"]
        return None

    async def until_granted(self, nodes: list[int], *, within: float = 60) -> float:
        """Seconds until each of these nodes has given a token again."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            while not all(self.seen.granted_at.get(node, 0) > began for node in nodes):
                await asyncio.sleep(0.02)
        return time.monotonic() - began


@asynccontextmanager
async def calling(callers: Callers) -> AsyncIterator[Callers]:
    async with asyncio.TaskGroup() as tasks:
        for node in range(len(callers.servers)):
            for _ in range(CALLERS_OF_A_NODE):
                tasks.create_task(callers.run(node))
        try:
            yield callers
        finally:
            callers.ended = True
