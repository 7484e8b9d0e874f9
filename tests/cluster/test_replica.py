"""Lists from a streaming replica: never older than what any node has answered, whatever the replica does."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.nodes import Cluster, cluster_in
from tests.harness import Connection, Credentials, Server, booking_row
from tests.harness.postgresql import PostgreSQL

BOOKINGS = 240


@dataclass(frozen=True, slots=True)
class Scene:
    cluster: Cluster
    replica: PostgreSQL
    servers: list[Server]
    client: Credentials
    numbers: Iterator[int]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with (
        cluster_in(tmp_path_factory.mktemp("replica")) as cluster,
        tempfile.TemporaryDirectory(prefix="omnilab-replica-") as folder,
    ):
        cluster.operator.create_tenant("acme")
        client = cluster.operator.create_client("acme", allow=("bookings:read", "bookings:cancel"))
        cluster.operator.import_bookings("acme", [booking_row(number) for number in range(1, BOOKINGS + 1)])
        replica = cluster.postgresql.replica(Path(folder)).start()
        url = cluster.database_url.replace(str(cluster.postgresql.port), str(replica.port))
        try:
            with cluster.serving(replica_url=url) as servers:
                yield Scene(cluster, replica, servers, client, iter(range(1, BOOKINGS + 1)))
        finally:
            replica.remove()


async def cancel_and_look(scene: Scene, rounds: int) -> None:
    """Cancel through one node and list through another at once, again and again."""
    connections = [await Connection.open(server) for server in scene.servers]
    token = str((await connections[0].token(scene.client)).document["access_token"])
    for place in range(rounds):
        number = next(scene.numbers)
        writer, reader = connections[place % 3], connections[(place + 1) % 3]
        body = {"external_id": booking_row(number)["external_id"], "booking_id": booking_row(number)["booking_id"]}
        assert (await writer.post("/v1/interactions:cancelContactBooking", body, token)).status == 200
        query = f"external_id={body['external_id']}&booking_id={body['booking_id']}"
        answer = await reader.get(f"/v1/interactions:fetchContactBookings?{query}", token)
        assert [each["booking_status"] for each in answer.document["bookings"]] == ["CANCELLED"], number
    for connection in connections:
        await connection.close()


def told(scene: Scene, name: str) -> float:
    """A counter, over all nodes."""
    texts = [server.http.get("/metrics").text for server in scene.servers]
    return sum(
        float(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith(f"{name}_total ")
    )


async def until_told(scene: Scene, name: str, at_least: float) -> None:
    async with asyncio.timeout(20):
        while told(scene, name) < at_least:
            await asyncio.sleep(0.1)


def test_a_list_sees_what_another_node_has_just_answered(scene: Scene) -> None:
    async def test() -> None:
        await cancel_and_look(scene, 100)
        await until_told(scene, "omnilab_replica_reads", 50)

    asyncio.run(test())


def test_a_replica_that_stands_still_is_not_read(scene: Scene) -> None:
    async def test() -> None:
        before = told(scene, "omnilab_replica_fallbacks")
        scene.replica.sql("postgres", "SELECT pg_wal_replay_pause()")
        try:
            await cancel_and_look(scene, 30)
        finally:
            scene.replica.sql("postgres", "SELECT pg_wal_replay_resume()")
        await until_told(scene, "omnilab_replica_fallbacks", before + 30)

    asyncio.run(test())


def test_a_replica_that_dies_is_missed_by_nobody_and_read_again_when_it_is_back(scene: Scene) -> None:
    async def test() -> None:
        scene.replica.kill()
        await cancel_and_look(scene, 30)
        scene.replica.start()
        before = told(scene, "omnilab_replica_reads")
        async with asyncio.timeout(30):
            while told(scene, "omnilab_replica_reads") <= before:
                await cancel_and_look(scene, 1)
                await asyncio.sleep(0.5)

    asyncio.run(test())
