"""Parts of a cluster fail under load: callers see 503 with Retry-After or nothing, and nothing is lost or done twice.

docs/faults.md holds what was seen; WRITE_FAULTS=1 writes it anew.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.load import Callers, calling
from tests.cluster.nodes import Cluster, cluster_in
from tests.harness import Connection, Credentials, Omnilab, Server, booking_row
from tests.harness.forwarding import Forwarder, forwarding_to
from tests.harness.observing import note
from tests.harness.small_disk import SmallDisk, small_disk

BOOKINGS = 6000
PAGE = Path(__file__).resolve().parents[2] / "docs/faults.md"
CUT_SECONDS = 10.0
AWAY_SECONDS = 2.0

TITLES = "| Fault | Calls | 200 | 503 | Cut | Longest wait for an answer | All nodes give tokens again after |"
FAULTS = (
    "A node is killed (`kill -9`)",
    "PostgreSQL is killed (`kill -9`) and starts again",
    "PostgreSQL is restarted (fast shutdown)",
    "One node's network to PostgreSQL vanishes for 10 s",
    "One node's connections to PostgreSQL are reset",
    "One node's feed alone vanishes",
    "One node's feed alone is reset",
    "The disk of PostgreSQL is full",
)


@dataclass(slots=True)
class Scene:
    """Three nodes; node 2 reaches PostgreSQL through a forwarder. `rows`: what was seen, by fault."""

    cluster: Cluster
    servers: list[Server]
    programs: list[Omnilab]
    forwarder: Forwarder
    disk: SmallDisk
    clients: list[Credentials]
    bookings: Iterator[tuple[str, str]]
    rows: dict[str, str] = field(default_factory=dict)
    granted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)


def booking_ids() -> Iterator[tuple[str, str]]:
    for number in range(1, BOOKINGS + 1):
        yield f"contact-{number % 7}", f"bkg_{number:08d}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    note(TITLES)
    folder = tmp_path_factory.mktemp("faults")
    with (
        small_disk(300) as disk,
        cluster_in(folder, place=disk.path) as cluster,
        forwarding_to(cluster.postgresql.port) as forwarder,
    ):
        cluster.operator.create_tenant("acme")
        rights = ("bookings:read", "bookings:cancel")
        clients = [cluster.operator.create_client("acme", allow=rights) for _ in range(5)]
        rows = [booking_row(number, external_id=f"contact-{number % 7}") for number in range(1, BOOKINGS + 1)]
        cluster.operator.import_bookings("acme", rows)
        through = cluster.database_url.replace(str(cluster.postgresql.port), str(forwarder.port))
        programs = [*cluster.nodes[:2], cluster.node(2, database_url=through)]
        servers = [program.start() for program in programs]
        for server in servers:
            server.wait_until_ready()
        scene = Scene(cluster, servers, programs, forwarder, disk, clients, booking_ids())
        try:
            yield scene
        finally:
            forwarder.thaw()
            codes = [server.stop() for server in scene.servers]
        assert codes == [0, 0, 0]
        keep_page(scene.rows)


def keep_page(rows: dict[str, str]) -> None:
    if os.environ.get("WRITE_FAULTS") and set(rows) == set(FAULTS):
        head, _, _ = PAGE.read_text().partition("| Fault |")
        _, _, tail = PAGE.read_text().partition("\n\nWhat the columns")
        table = [TITLES, "|---|--:|--:|--:|--:|--:|--:|", *(rows[fault] for fault in FAULTS)]
        PAGE.write_text(head + "\n".join(table) + "\n\nWhat the columns" + tail)


def under(
    scene: Scene, fault: str, act: Callable[[Callers], Awaitable[None]], *, cut_nodes: tuple[int, ...] = ()
) -> Callers:
    """Break something under load, wait until every node gives tokens again, and judge what was seen."""
    callers = Callers(scene.servers, scene.clients[0], scene.bookings)
    recovered = 0.0

    async def run() -> None:
        nonlocal recovered
        async with calling(callers):
            await callers.until_granted([0, 1, 2])
            await act(callers)
            recovered = await callers.until_granted([0, 1, 2])
            await asyncio.sleep(1)

    asyncio.run(run())
    seen = callers.seen
    scene.rows[fault] = seen.row(fault, recovered)
    note(scene.rows[fault])
    assert seen.strange == []
    assert set(seen.statuses) <= {200, 503}
    assert set(seen.cut) <= set(cut_nodes)
    assert seen.statuses[200] > 50
    assert seen.cancelled, "no booking was left to cancel"
    scene.granted += seen.granted
    scene.cancelled += seen.cancelled
    return callers


async def refused_within_a_second(scene: Scene, client: Credentials, *, of_node: int = 2) -> None:
    """A secret is revoked; from a second after the command's return this node accepts neither it nor its token."""
    connections = [await Connection.open(scene.servers[of_node]) for _ in range(2)]
    first = await Connection.open(scene.servers[0])
    token = str((await first.token(client)).document["access_token"])
    await first.close()
    await asyncio.to_thread(scene.cluster.operator.cli, "secrets", "revoke", client.client_id, client.secret_id)
    off_at, accepted_at = time.monotonic(), 0.0

    async def ask(connection: Connection, *, by_token: bool) -> None:
        nonlocal accepted_at
        while time.monotonic() < off_at + 2.5:
            sent = time.monotonic()
            answer = await (connection.bookings(token, "contact-1") if by_token else connection.token(client))
            assert answer.status in (200, 401, 503), answer.body
            if answer.status == 200:
                accepted_at = max(accepted_at, sent)
            await asyncio.sleep(0.02)

    await asyncio.gather(*(ask(each, by_token=place == 0) for place, each in enumerate(connections)))
    for connection in connections:
        await connection.close()
    assert accepted_at <= off_at + 1.0, f"accepted {accepted_at - off_at:.2f} s after the command's return"


def test_a_killed_node_disturbs_nobody_else(scene: Scene) -> None:
    async def act(_: Callers) -> None:
        scene.servers[1].kill()
        await asyncio.sleep(AWAY_SECONDS)
        scene.servers[1] = await asyncio.to_thread(scene.programs[1].start)
        await asyncio.to_thread(scene.servers[1].wait_until_ready)

    under(scene, FAULTS[0], act, cut_nodes=(1,))


@pytest.mark.parametrize("fault", FAULTS[1:3])
def test_postgresql_is_away_for_a_while(scene: Scene, fault: str) -> None:
    postgresql = scene.cluster.postgresql

    async def act(callers: Callers) -> None:
        await asyncio.to_thread(postgresql.kill if "killed" in fault else postgresql.stop)
        await asyncio.sleep(AWAY_SECONDS)
        assert scene.servers[0].http.get("/readyz").status_code == 503
        await asyncio.to_thread(postgresql.start)

    callers = under(scene, fault, act)
    assert callers.seen.statuses[503] > 0


def test_a_node_whose_network_vanishes_accepts_nothing_stale(scene: Scene) -> None:
    async def act(_: Callers) -> None:
        scene.forwarder.freeze()
        try:
            began = time.monotonic()
            await refused_within_a_second(scene, scene.clients[1])
            await asyncio.sleep(max(0, CUT_SECONDS - (time.monotonic() - began)))
        finally:
            scene.forwarder.thaw()

    callers = under(scene, FAULTS[3], act)
    assert callers.seen.statuses[503] > 0


def test_a_node_whose_connections_are_reset(scene: Scene) -> None:
    async def act(_: Callers) -> None:
        for _ in range(5):
            scene.forwarder.cut()
            await asyncio.sleep(0.2)

    under(scene, FAULTS[4], act)


@pytest.mark.parametrize("fault", FAULTS[5:7])
def test_a_node_whose_feed_alone_is_gone_still_refuses_in_time(scene: Scene, fault: str) -> None:
    client = scene.clients[FAULTS.index(fault) - 3]

    async def act(_: Callers) -> None:
        act = scene.forwarder.freeze if "vanishes" in fault else scene.forwarder.cut
        act(listeners_only=True)
        try:
            await refused_within_a_second(scene, client)
        finally:
            scene.forwarder.thaw()

    callers = under(scene, fault, act)
    assert callers.seen.statuses[503] == 0


def test_a_full_disk_passes_by_itself(scene: Scene) -> None:
    """PostgreSQL may give up on a full disk; what supervises it starts it again."""
    postgresql, disk = scene.cluster.postgresql, scene.disk

    async def act(callers: Callers) -> None:
        disk.fill()
        async with asyncio.timeout(60):
            while callers.seen.statuses[503] < 20:
                await asyncio.sleep(0.05)
        await asyncio.sleep(AWAY_SECONDS)
        disk.empty()
        if not postgresql.is_running():
            await asyncio.to_thread(postgresql.start)

    under(scene, FAULTS[7], act)


def test_nothing_was_lost_or_done_twice_in_any_of_them(scene: Scene) -> None:
    """No token without its record, each booking cancelled at most once, places and chains right."""
    cluster = scene.cluster
    name = cluster.database_url.rpartition("/")[2]

    def found(sql: str) -> set[str]:
        return {row[0] for row in cluster.postgresql.sql(name, sql)}

    assert len(scene.granted) > 500
    assert len(scene.cancelled) > 300
    recorded = "SELECT request_id FROM audit_records WHERE outcome = 'granted'"
    assert set(scene.granted) - found(recorded) == set()
    cancelled = found("SELECT booking_id FROM bookings WHERE booking_status = 'CANCELLED'")
    assert set(scene.cancelled) - cancelled == set()
    of_cancels = """FROM (SELECT body::jsonb->'details' AS d FROM audit_records WHERE body LIKE '%"bookings:cancel"%'
        AND outcome = 'granted') AS r WHERE NOT d ? 'replayed'"""
    assert found(f"SELECT d->>'booking_id' {of_cancels} GROUP BY 1 HAVING count(*) > 1") == set()
    assert found(f"SELECT d->>'booking_id' {of_cancels}") == cancelled
    assert cluster.operator.cli("db", "check")["intact"]
    assert cluster.operator.cli("audit", "verify")["intact"]


def test_the_page_has_a_row_for_each_fault() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert [row for row in rows if row in FAULTS] == list(FAULTS)
