"""Three nodes under load: what an operator switches off is refused on all of them within a second, every time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles

import pytest

from tests.cluster.nodes import Cluster, cluster_in
from tests.harness import CommandLine, Connection, Credentials, Server
from tests.harness.observing import note

WITHIN_SECONDS = 1.0
SWITCHES = 100
AT_ONCE = 4
BYSTANDERS_OF_A_NODE = 2
PAUSE_SECONDS = 0.02
# The watch goes on after every door has refused: none may open again.
STILL_SECONDS = 0.3

KINDS = (
    "secrets revoke {client} {secret}",
    "clients disable {client}",
    "tenants suspend {tenant}",
    "grants withdraw {client} bookings:read",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_in(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.mark.timeout(240)
def test_a_hundred_switches_bite_on_every_node_within_a_second(cluster: Cluster) -> None:
    clients = cluster.operator.seed(tenants=SWITCHES + 1, clients=SWITCHES + 1)
    with cluster.operator.command_line() as cli, cluster.serving() as servers:
        delays = asyncio.run(switch_all(cli, servers, clients))
    cuts = quantiles(delays, n=100)
    note(
        f"{len(delays)} revocations on three nodes, last acceptance after the command's return, seconds: "
        f"median {cuts[49]:.3f}, 90 % {cuts[89]:.3f}, 99 % {cuts[98]:.3f}, most {max(delays):.3f}"
    )
    assert len(delays) == SWITCHES
    assert max(delays) <= WITHIN_SECONDS


async def switch_all(cli: CommandLine, servers: list[Server], clients: list[Credentials]) -> list[float]:
    """Switch off one client after another, some at once; how long each was still accepted somewhere."""
    bystander, waiting = clients[-1], list(enumerate(clients[:-1]))
    delays: list[float] = []
    commands = asyncio.Lock()  # the one command line takes them one by one

    async def switch_next() -> None:
        while waiting:
            number, client = waiting.pop()
            delays.append(await switched(cli, commands, servers, (KINDS[number % len(KINDS)], client)))

    async with bystanders(servers, bystander), asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(switch_next())
    return delays


@dataclass(slots=True)
class Door:
    """One node's API or token endpoint, asked again and again by one client."""

    connection: Connection
    client: Credentials
    token: str | None
    last_accepted: float = 0.0
    refused: list[float] = field(default_factory=list)

    async def ask(self) -> None:
        if self.token is None:
            answer = await self.connection.token(self.client, scope="bookings:read")
        else:
            answer = await self.connection.bookings(self.token, "contact-1")
        now = time.monotonic()
        if answer.status == 200:
            self.last_accepted = now
        else:
            assert answer.status in (400, 401, 403), answer.body
            self.refused.append(now)


async def switched(
    cli: CommandLine, commands: asyncio.Lock, servers: list[Server], what: tuple[str, Credentials]
) -> float:
    """Switch a client off while every node is asked; from the command's return to the last acceptance, in seconds."""
    line, client = what
    words = line.format(client=client.client_id, secret=client.secret_id, tenant=client.tenant).split()
    async with AsyncExitStack() as stack:
        doors: list[Door] = []
        for server in servers:
            pair = [await Connection.open(server) for _ in range(2)]
            for connection in pair:
                stack.push_async_callback(connection.close)
            token = str((await pair[0].token(client)).document["access_token"])
            doors += [Door(pair[0], client, token), Door(pair[1], client, None)]
        off_at = float("inf")

        async def keep_asking(door: Door) -> None:
            until = float("inf")
            while time.monotonic() < until:
                await door.ask()
                if off_at < float("inf") and all(each.refused for each in doors):
                    until = min(until, time.monotonic() + STILL_SECONDS)
                assert time.monotonic() < off_at + 5, "a door is still open"
                await asyncio.sleep(PAUSE_SECONDS)

        asking = [asyncio.create_task(keep_asking(door)) for door in doors]
        while not all(door.last_accepted for door in doors):
            await asyncio.sleep(PAUSE_SECONDS)
        async with commands:
            await asyncio.to_thread(cli.run, *words)
            off_at = time.monotonic()
        await asyncio.gather(*asking)
    return max(door.last_accepted for door in doors) - off_at


@asynccontextmanager
async def bystanders(servers: list[Server], client: Credentials) -> AsyncIterator[None]:
    """Load on every node by a client that nobody switches off: it must notice nothing."""
    ended = False

    async def ask(connection: Connection) -> None:
        token = str((await connection.token(client)).document["access_token"])
        while not ended:
            assert (await connection.bookings(token, "contact-1")).status == 200
            assert (await connection.token(client)).status == 200

    async with asyncio.TaskGroup() as tasks:
        connections = [await Connection.open(server) for server in servers for _ in range(BYSTANDERS_OF_A_NODE)]
        for connection in connections:
            tasks.create_task(ask(connection))
        try:
            yield
        finally:
            ended = True
    for connection in connections:
        await connection.close()
