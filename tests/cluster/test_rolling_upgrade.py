"""A release goes out, migrations first, then node by node, under load and behind nginx: no request fails.

The release before is this program as it knows the schema of migration 0005: the same source, told another HEAD, without
the later migrations and without what makes months ahead. The migrations that run under load are the real ones.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import omnilab
from omnilab.storage import schema
from tests.cluster.nodes import Cluster, cluster_in
from tests.deploy.nginx import Proxy, proxy
from tests.harness import Answer, Connection, Credentials, Omnilab, booking_row

OLD, HOST = "0005", "login.test"
BOOKINGS = 3000
CALLERS = 6
PAUSE_SECONDS = 0.01


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
class Callers:
    """Callers of nginx, as it is shipped, which knows of three nodes and is told nothing of a release."""

    proxy: Proxy
    client: Credentials
    answers: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    ended: bool = False

    async def run(self, numbers: list[int]) -> None:
        """A token, a list and a cancel in turn. Nothing is asked twice: what fails has failed."""
        context = ssl.create_default_context(cafile=str(self.proxy.authority))
        connection = None
        token = ""
        for step in itertools.cycle(("token", "bookings", "cancel")):
            if self.ended:
                break
            if connection is None:
                where = ("127.0.0.1", self.proxy.https_port)
                connection = Connection(*await asyncio.open_connection(*where, ssl=context, server_hostname=HOST))
            await asyncio.sleep(PAUSE_SECONDS)
            answer = await self._ask(connection, step, token, numbers)
            self.answers[answer.status] += 1
            if answer.status != 200:
                self.failed.append(f"{step}: {answer.status} {answer.body!r}")
            elif step == "token":
                token = str(answer.document["access_token"])
            if answer.closes:
                await connection.close()
                connection = None
        if connection is not None:
            await connection.close()

    async def _ask(self, connection: Connection, step: str, token: str, numbers: list[int]) -> Answer:
        if step == "token":
            return await connection.token(self.client)
        if step == "bookings" or not numbers:
            return await connection.bookings(token, "contact-1")
        row = booking_row(numbers.pop())
        return await connection.cancel(token, row["external_id"], row["booking_id"])


@asynccontextmanager
async def under_load(callers: Callers) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        for each in range(CALLERS):
            tasks.create_task(callers.run(list(range(each + 1, BOOKINGS + 1, CALLERS))))
        try:
            yield
            await asyncio.sleep(0.5)
        finally:
            callers.ended = True


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

    async def replace(number: int, program: Omnilab) -> None:
        assert await asyncio.to_thread(servers[number].stop) == 0
        servers[number] = await asyncio.to_thread(program.start)
        await asyncio.to_thread(servers[number].wait_until_ready)
        await asyncio.sleep(2.5)  # nginx passes over a node that took no connection for two seconds

    async def release(callers: Callers) -> None:
        async with under_load(callers):
            await asyncio.sleep(1)
            done = await asyncio.to_thread(cluster.operator.cli, "db", "upgrade")
            assert (done["from"], done["to"]) == (OLD, schema.HEAD)
            await replace(2, old[2])  # an old node that has to start again in the middle can
            for number, node in enumerate(cluster.nodes):
                await replace(number, node)

    try:
        with proxy(tmp_path / "nginx", [node.port for node in old], HOST) as running:
            callers = Callers(running, client)
            asyncio.run(release(callers))
        assert callers.failed == []
        assert set(callers.answers) == {200}
        assert callers.answers[200] > 300
        checked = cluster.operator.cli("db", "check")
        assert checked["intact"], checked
        assert cluster.operator.cli("audit", "verify")["intact"]
    finally:
        for server in servers.values():
            server.stop()
