"""A quota hit from three nodes at once: exactly it passes with Redis; without, at most nodes × quota."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.nodes import Cluster, cluster_in
from tests.harness import Connection, Credentials, Server
from tests.harness.redis import Redis, redis_server

QUOTA = 100


@dataclass(frozen=True, slots=True)
class Scene:
    cluster: Cluster
    redis: Redis
    servers: list[Server]
    clients: Iterator[Credentials]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    quotas = {"client_token_quota": f"{QUOTA}/minute", "client_api_quota": f"{QUOTA}/hour"}
    with redis_server() as redis, cluster_in(tmp_path_factory.mktemp("quotas")) as cluster:
        clients = cluster.operator.seed(tenants=4, clients=4)
        with cluster.serving(redis_url=redis.url, **quotas) as servers:
            yield Scene(cluster, redis, servers, iter(clients))


async def storm(servers: list[Server], client: Credentials, each: int) -> Counter[int]:
    """Token requests on two connections to every node at once; how often each status came back."""
    statuses: Counter[int] = Counter()

    async def ask(connection: Connection) -> None:
        for _ in range(each):
            answer = await connection.token(client)
            statuses[answer.status] += 1
            if answer.status == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= 60

    connections = [await Connection.open(server) for server in servers for _ in range(2)]
    async with asyncio.TaskGroup() as tasks:
        for connection in connections:
            tasks.create_task(ask(connection))
    for connection in connections:
        await connection.close()
    return statuses


def away(server: Server) -> bool:
    text = server.http.get("/metrics").text
    [value] = [line.split()[1] for line in text.splitlines() if line.startswith("omnilab_quota_store_down ")]
    return float(value) > 0


async def until_away(scene: Scene, expected: bool) -> None:
    async with asyncio.timeout(30):
        while any(away(server) != expected for server in scene.servers):
            await asyncio.sleep(0.05)


def test_exactly_a_hundred_pass(scene: Scene) -> None:
    statuses = asyncio.run(storm(scene.servers, next(scene.clients), 40))
    assert statuses == {200: QUOTA, 429: 240 - QUOTA}


def test_whoami_tells_on_every_node_what_all_have_counted(scene: Scene) -> None:
    client = next(scene.clients)
    token = scene.servers[0].token(client)
    for number, server in enumerate(scene.servers, 1):
        me = server.http.get("/v1/oauth:whoami", headers={"Authorization": f"Bearer {token}"}).json()
        assert me["quotas"]["token"]["client"]["remaining"] == QUOTA - 1
        assert me["quotas"]["api"]["client"]["remaining"] == QUOTA - number


def test_redis_dies_and_comes_back_and_nobody_sees_more_than_quotas(scene: Scene) -> None:
    async def live() -> Counter[int]:
        client = next(scene.clients)
        first = await storm(scene.servers, client, 10)
        scene.redis.kill()
        alone = await storm(scene.servers, client, 70)
        await until_away(scene, True)
        scene.redis.start()
        await until_away(scene, False)
        # It has forgotten everything; the nodes remember where it stood.
        after = await storm(scene.servers, client, 10)
        assert first == {200: 60}
        assert QUOTA - 60 <= alone[200] <= 3 * QUOTA - 60
        assert after == {429: 60}
        return first + alone + after

    statuses = asyncio.run(live())
    assert set(statuses) == {200, 429}
    assert statuses[200] <= 3 * QUOTA
