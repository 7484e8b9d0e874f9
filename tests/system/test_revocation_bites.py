"""Two workers under load: what an operator switches off is refused everywhere within a second of the command's return.

Every worker is asked all the time, on several connections of its own, at both doors: the API with a token issued
before, and the token endpoint. The one second is the contract's, and the only time that decides here.
"""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import logging
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness import Answer, CommandLine, Connection, Credentials, Omnilab, Server, connections_to_every_worker

WITHIN_SECONDS = 1.0
# The watch goes on after that second: a worker that has refused must not accept again.
STILL_SECONDS = 0.5
UNDONE_WITHIN_SECONDS = 20.0
CONNECTIONS_OF_A_WORKER = 3
BYSTANDERS_OF_A_WORKER = 1
PAUSE_SECONDS = 0.02

API, TOKEN = "API", "token endpoint"


@dataclass(frozen=True, slots=True)
class Switch:
    """A command that takes something away, the one that gives it back, and what each door says in between."""

    off: str
    on: str | None
    at_api: tuple[int, str]
    at_token: tuple[int, str]


SWITCHES = [
    Switch("secrets revoke {client} {secret}", None, (401, "token_revoked"), (401, "secret_revoked")),
    Switch("clients disable {client}", "clients enable {client}", (401, "client_disabled"), (401, "client_disabled")),
    Switch(
        "tenants suspend {tenant}", "tenants restore {tenant}", (401, "tenant_suspended"), (401, "tenant_suspended")
    ),
    Switch(
        "grants withdraw {client} bookings:read",
        "grants allow {client} bookings:read",
        (403, "endpoint_not_enabled"),
        (400, "scope_not_granted"),
    ),
    Switch(
        "entitlements withdraw {tenant} bookings:read",
        "entitlements allow {tenant} bookings:read",
        (403, "endpoint_not_enabled"),
        (400, "scope_not_granted"),
    ),
]


@dataclass(frozen=True, slots=True)
class Running:
    """Two workers; a client for each test, of a tenant of its own, and at the end one that nobody switches off."""

    omnilab: Omnilab
    cli: CommandLine
    server: Server
    clients: list[Credentials]

    def command(self, line: str, client: Credentials) -> float:
        """Run a command on a client; returns when it returned."""
        self.cli.run(*line.format(client=client.client_id, secret=client.secret_id, tenant=client.tenant).split())
        return time.monotonic()

    def another_secret(self, client: Credentials) -> Credentials:
        added = self.cli.run("secrets", "add", client.client_id)
        return dataclasses.replace(client, client_secret=added["client_secret"], secret_id=added["secret_id"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, initialised: Path) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("revocation")
    shutil.copytree(initialised, directory, dirs_exist_ok=True)
    omnilab = Omnilab(directory)
    clients = omnilab.seed(tenants=len(SWITCHES) + 2, clients=len(SWITCHES) + 2)
    with omnilab.command_line() as cli, omnilab.serve(workers=2) as server:
        yield Running(omnilab, cli, server, clients)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: "-".join(switch.off.split()[:2]))
def test_every_worker_refuses_within_a_second(switch: Switch, running: Running) -> None:
    client = running.clients[SWITCHES.index(switch)]
    # The same client's other secret, or another tenant: they must notice nothing.
    bystander = running.clients[-1] if switch.on else running.another_secret(client)
    delays = asyncio.run(watch(running, switch, client, bystander))
    logging.getLogger(__name__).info("%s: last accepted so long after the return: %s", switch.off, delays)


def test_what_one_worker_issues_on_a_change_every_other_worker_takes_at_once(running: Running) -> None:
    """Whoever hears of a change first may issue on it; nobody else may call such a token revoked or without right."""
    client = running.clients[-1]

    async def act() -> None:
        connections = await connections_to_every_worker(running.server, 1)
        for _ in range(5):
            for issuing, called in (connections, connections[::-1]):
                added = await asyncio.to_thread(running.another_secret, client)
                token = (await issuing.token(added)).document["access_token"]
                assert (await called.bookings(token, "contact-1")).code == ""
                for line in ("grants withdraw {client} bookings:read", "grants allow {client} bookings:read"):
                    await asyncio.to_thread(running.command, line, client)
                while (granted := await issuing.token(client, scope="bookings:read")).status != 200:
                    assert granted.code == "scope_not_granted"
                assert (await called.bookings(granted.document["access_token"], "contact-1")).code == ""
        for connection in connections:
            await connection.close()

    asyncio.run(act())


def test_one_token_that_was_revoked_is_refused_by_every_worker_within_a_second(running: Running) -> None:
    """Its sister, of the same client and secret, goes on."""
    client = running.clients[-1]

    async def act() -> float:
        connections = await connections_to_every_worker(running.server, 1)
        issued = [await connections[0].token(client) for _ in range(2)]
        gone, kept = (str(each.document["access_token"]) for each in issued)
        for connection in connections:
            assert [(await connection.bookings(token, "c")).status for token in (gone, kept)] == [200, 200]
        body = {"client_id": client.client_id, "client_secret": client.client_secret, "token": gone}
        answer = await asyncio.to_thread(running.server.http.post, "/v1/oauth:revoke", data=body)
        assert answer.status_code == 200, answer.text
        revoked_at = time.monotonic()
        for connection in connections:
            while (await connection.bookings(gone, "c")).code != "token_revoked":
                assert time.monotonic() < revoked_at + WITHIN_SECONDS
            assert (await connection.bookings(kept, "c")).status == 200
        delay = time.monotonic() - revoked_at
        for connection in connections:
            await connection.close()
        return delay

    delay = asyncio.run(act())
    logging.getLogger(__name__).info("oauth:revoke: refused by every worker after %.3f s", delay)


def test_a_worker_that_stood_still_looks_again_before_it_decides(running: Running) -> None:
    """A swapped-out or paused process wakes up with old memory and old requests: it must not decide from either."""
    client = running.clients[-2]
    api, token = asyncio.run(asked_while_frozen(running, client))
    assert (api.status, api.code) == (token.status, token.code) == (401, "client_disabled")


async def asked_while_frozen(running: Running, client: Credentials) -> tuple[Answer, Answer]:
    connections = await connections_to_every_worker(running.server, 2)
    worker = connections[0].worker
    first, second, *_ = [each for each in connections if each.worker == worker]
    token = str((await first.token(client)).document["access_token"])
    assert (await second.bookings(token, "contact-1")).status == 200  # verified, and remembered
    await freeze(running.omnilab, worker)
    try:
        await asyncio.to_thread(running.command, "clients disable {client}", client)
        asked = [asyncio.create_task(first.bookings(token, "contact-1")), asyncio.create_task(second.token(client))]
        await asyncio.sleep(WITHIN_SECONDS)
        assert not any(each.done() for each in asked)
    finally:
        os.kill(worker, signal.SIGCONT)
    api, issued = await asyncio.gather(*asked)
    for each in connections:
        await each.close()
    return api, issued


async def freeze(omnilab: Omnilab, worker: int) -> None:
    """Stop a worker, but not in the middle of a write: for that every writer would wait."""
    with (omnilab.directory / ".omnilab/omnilab.db.write").open("rb") as turn:
        while True:
            os.kill(worker, signal.SIGSTOP)
            while not is_stopped(worker):
                await asyncio.sleep(0.001)
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.kill(worker, signal.SIGCONT)
                await asyncio.sleep(0.01)
            else:
                return


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: from which worker, at which door, when it came, and what it said."""

    worker: int
    door: str
    came_at: float
    said: tuple[int, str]


@dataclass(slots=True)
class Log:
    """What every worker said at every door, in order."""

    seen: list[Seen] = field(default_factory=list)

    def last_accepted(self) -> dict[tuple[int, str], float]:
        return {(each.worker, each.door): each.came_at for each in self.seen if each.said == (200, "")}

    def said_after(self, moment: float) -> dict[tuple[int, str], set[tuple[int, str]]]:
        said: dict[tuple[int, str], set[tuple[int, str]]] = {}
        for each in self.seen:
            if each.came_at > moment:
                said.setdefault((each.worker, each.door), set()).add(each.said)
        return said


async def watch(
    running: Running, switch: Switch, client: Credentials, bystander: Credentials
) -> dict[tuple[int, str], float]:
    """Ask all the time while the switch goes off and on again; returns how long each worker's doors stayed open."""
    workers = running.server.worker_pids()
    doors = [(worker, door) for worker in workers for door in (API, TOKEN)]
    async with (
        asking(running.server, bystander, BYSTANDERS_OF_A_WORKER, pause=0) as unmoved,
        asking(running.server, client, CONNECTIONS_OF_A_WORKER, pause=PAUSE_SECONDS) as log,
    ):
        await until_accepted(log, doors, after=0)
        off_at = await asyncio.to_thread(running.command, switch.off, client)
        await asyncio.sleep(max(0.0, off_at + WITHIN_SECONDS + STILL_SECONDS - time.monotonic()))
        delays = {door: round(at - off_at, 3) for door, at in log.last_accepted().items()}
        said = log.said_after(off_at + WITHIN_SECONDS)
        if switch.on is not None:
            on_at = await asyncio.to_thread(running.command, switch.on, client)
            await until_accepted(log, doors, after=on_at)

    assert set(delays) == set(doors)
    assert max(delays.values()) <= WITHIN_SECONDS, delays
    expected = {API: switch.at_api, TOKEN: switch.at_token}
    assert said == {(worker, door): {expected[door]} for worker, door in doors}
    assert unmoved.said_after(0) == {door: {(200, "")} for door in doors}
    return delays


@asynccontextmanager
async def asking(server: Server, client: Credentials, each: int, *, pause: float) -> AsyncIterator[Log]:
    """Ask both doors of every worker again and again with one client's credential and one token it got before."""
    log, ended = Log(), asyncio.Event()
    connections = await connections_to_every_worker(server, each)
    issued = await connections[0].token(client)
    assert issued.status == 200, issued.body
    token = str(issued.document["access_token"])

    async def ask(connection: Connection) -> None:
        while not ended.is_set():
            for door in (API, TOKEN):
                if door == API:
                    answer = await connection.bookings(token, "contact-1")
                else:
                    answer = await connection.token(client, scope="bookings:read")
                log.seen.append(Seen(connection.worker, door, time.monotonic(), (answer.status, answer.code)))
                await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(ask(connection))
        try:
            yield log
        finally:
            ended.set()
    for connection in connections:
        await connection.close()


async def until_accepted(log: Log, doors: list[tuple[int, str]], *, after: float) -> None:
    deadline = time.monotonic() + UNDONE_WITHIN_SECONDS
    while any(log.last_accepted().get(door, -1.0) <= after for door in doors):
        assert time.monotonic() < deadline, "what was given back is still refused"
        await asyncio.sleep(0.05)
