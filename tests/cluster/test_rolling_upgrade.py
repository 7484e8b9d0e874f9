"""A release goes out, migrations first, then node by node, under load: no request fails.

The release before is this program as it knows the schema of migration 0005: the same source, told another HEAD, without
the later migrations and without what makes months ahead. The migrations that run under load are the real ones.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import omnilab
from omnilab.storage import schema
from tests.cluster.nodes import NODES, Cluster, cluster_in
from tests.harness import CUT, Answer, Connection, Credentials, Omnilab, Server, booking_row

OLD = "0005"
BOOKINGS = 3000
CALLERS = 6


class OldOmnilab(Omnilab):
    """The program of the release before. `source`: where its copy lies."""

    source: Path

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return super().environ(extra) | {"PYTHONPATH": str(self.source)}


def old_source(folder: Path) -> Path:
    """A copy of the program that knows nothing beyond `OLD`."""
    source = Path(omnilab.__file__).parent
    shutil.copytree(source, folder / "omnilab", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / "omnilab/storage/migrations/versions").glob("0*.py"):
        if path.name[:4] > OLD:
            path.unlink()
    for name, text, replacement in (
        ("storage/schema.py", f'HEAD = "{schema.HEAD}"', f'HEAD = "{OLD}"'),
        ("app.py", "await self.audit.prepare_months()", "pass"),
    ):
        file = folder / "omnilab" / name
        assert text in file.read_text()
        file.write_text(file.read_text().replace(text, replacement))
    return folder


def as_old(installed: Omnilab, source: Path) -> OldOmnilab:
    """The same node, run by the old program."""
    old = OldOmnilab(installed.directory, **installed.settings)
    old.source, old.port, old.url = source, installed.port, installed.url
    return old


@dataclass(slots=True)
class Balancer:
    """Callers behind a load balancer: a node that takes no connection, or drops one unanswered, is passed over."""

    servers: dict[int, Server]
    answers: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    ended: bool = False

    async def ask(self, request: str, *words: object, **headers: str) -> Answer:
        for number in itertools.islice(itertools.cycle(range(NODES)), next(_turns) % NODES, 60):
            server = self.servers.get(number)
            if server is None:
                await asyncio.sleep(0.01)
                continue
            with suppress(*CUT):
                connection = await Connection.open(server)
                try:
                    answer: Answer = await getattr(connection, request)(*words, **headers)
                finally:
                    await connection.close()
                self.answers[answer.status] += 1
                return answer
        raise AssertionError("no node answered")


_turns = itertools.count()


async def call(balancer: Balancer, client: Credentials, numbers: list[int]) -> None:
    """One caller: a token, a list, and now and then a cancel that may be repeated."""
    token = str((await balancer.ask("token", client)).document["access_token"])
    while not balancer.ended:
        answers = [await balancer.ask("token", client), await balancer.ask("bookings", token, "contact-1")]
        if numbers:
            number = numbers.pop()
            row = booking_row(number)
            words = (token, row["external_id"], row["booking_id"])
            answers.append(await balancer.ask("cancel", *words, idempotency_key=f"cancel-{number}"))
        balancer.failed += [f"{answer.status} {answer.body!r}" for answer in answers if answer.status != 200]


@asynccontextmanager
async def under_load(balancer: Balancer, client: Credentials) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        for each in range(CALLERS):
            tasks.create_task(call(balancer, client, list(range(each + 1, BOOKINGS + 1, CALLERS))))
        try:
            yield
            await asyncio.sleep(0.5)
        finally:
            balancer.ended = True


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_in(tmp_path) as cluster:
        yield cluster


@pytest.mark.timeout(300)
def test_no_request_fails_while_a_release_goes_out(cluster: Cluster, tmp_path: Path) -> None:
    source = old_source(tmp_path / "old")
    cluster.operator.create_tenant("acme")
    client = cluster.operator.create_client("acme", allow=("bookings:read", "bookings:cancel"))
    cluster.operator.import_bookings("acme", [booking_row(number) for number in range(1, BOOKINGS + 1)])
    cluster.operator.cli("db", "downgrade", "--to", OLD, "--yes")
    old = [as_old(node, source) for node in cluster.nodes]
    assert old[0].cli("clients", "list")["clients"]  # the old program, and it knows its schema
    servers = {number: node.start() for number, node in enumerate(old)}
    for server in servers.values():
        server.wait_until_ready()
    balancer = Balancer(dict(servers))

    async def replace(number: int, program: Omnilab) -> None:
        """As a load balancer is told: out, drained, and in again once it is ready."""
        server = balancer.servers.pop(number)
        assert await asyncio.to_thread(server.stop) == 0
        servers[number] = await asyncio.to_thread(program.start)
        await asyncio.to_thread(servers[number].wait_until_ready)
        balancer.servers[number] = servers[number]

    async def release() -> None:
        async with under_load(balancer, client):
            await asyncio.sleep(1)
            done = await asyncio.to_thread(cluster.operator.cli, "db", "upgrade")
            assert (done["from"], done["to"]) == (OLD, schema.HEAD)
            await replace(2, old[2])  # an old node that has to start again in the middle can
            for number, node in enumerate(cluster.nodes):
                await replace(number, node)

    try:
        asyncio.run(release())
        assert balancer.failed == []
        assert set(balancer.answers) == {200}
        assert balancer.answers[200] > 300
        checked = cluster.operator.cli("db", "check")
        assert checked["intact"], checked
        assert cluster.operator.cli("audit", "verify")["intact"]
    finally:
        for server in servers.values():
            server.stop()
