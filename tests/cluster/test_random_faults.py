"""One node and its database, between which anything happens in any order: every time it answers again, and nothing is
lost, done twice or recorded twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.load import Callers, calling
from tests.cluster.nodes import Cluster, cluster_in
from tests.harness import booking_row
from tests.harness.forwarding import Forwarder, forwarding_to

ROUNDS = 30
BOOKINGS = 3000
# What is done to the way between them, and how long at most until it is open again. A commit is waited for 5 s.
FAULTS: tuple[tuple[Callable[[Forwarder], None], float], ...] = (
    (Forwarder.cut, 0.0),
    (Forwarder.freeze, 1.5),
    (lambda forwarder: forwarder.cut(listeners_only=True), 0.0),
    (lambda forwarder: forwarder.hush(b""), 0.5),
    (lambda forwarder: forwarder.hush(b"COMMIT"), 0.5),
    (Forwarder.hide_ends, 0.3),
)
# How the way is opened again. What was asked before is answered late, or never.
ENDS = ("nothing", "cut", "terminate")


@pytest.mark.timeout(240)
def test_a_node_answers_again_after_any_of_them(tmp_path: Path) -> None:
    with cluster_in(tmp_path) as cluster, forwarding_to(cluster.postgresql.port) as forwarder:
        cluster.operator.create_tenant("acme")
        client = cluster.operator.create_client("acme", allow=("bookings:read", "bookings:cancel"))
        rows = [booking_row(number) for number in range(1, BOOKINGS + 1)]
        cluster.operator.import_bookings("acme", rows)
        through = cluster.database_url.replace(str(cluster.postgresql.port), str(forwarder.port))
        with cluster.node(0, database_url=through).serve() as server:
            bookings = ((str(row["external_id"]), str(row["booking_id"])) for row in rows)
            callers = Callers([server], client, bookings)
            asyncio.run(break_and_wait(cluster, forwarder, callers))
        seen = callers.seen
        assert seen.strange == []
        assert set(seen.statuses) <= {200, 503}
        assert seen.cut.total() == 0
        judge(cluster, callers)


async def break_and_wait(cluster: Cluster, forwarder: Forwarder, callers: Callers) -> None:
    chance = random.Random(20)
    async with calling(callers):
        await callers.until_granted([0])
        for _ in range(ROUNDS):
            fault, longest = chance.choice(FAULTS)
            end = chance.choice(ENDS)
            fault(forwarder)
            if end == "terminate":
                await asyncio.to_thread(terminate, cluster)
            await asyncio.sleep(chance.random() * longest)
            if end == "cut":
                forwarder.cut()
            forwarder.thaw()
            await callers.until_granted([0], within=30)
            await asyncio.sleep(chance.random() * 0.5)


def terminate(cluster: Cluster) -> None:
    """Give notice to every connection of the node, as an operator or a shutdown does."""
    ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'omnilab'"
    cluster.postgresql.sql("postgres", ours)


def judge(cluster: Cluster, callers: Callers) -> None:
    name = cluster.database_url.rpartition("/")[2]

    def found(sql: str) -> set[str]:
        return {row[0] for row in cluster.postgresql.sql(name, sql)}

    assert len(callers.seen.granted) > ROUNDS
    assert len(callers.seen.cancelled) > ROUNDS
    recorded = found("SELECT request_id FROM audit_records WHERE outcome = 'granted'")
    assert set(callers.seen.granted) - recorded == set()
    cancelled = found("SELECT booking_id FROM bookings WHERE booking_status = 'CANCELLED'")
    assert set(callers.seen.cancelled) - cancelled == set()
    twice = "SELECT request_id FROM audit_records GROUP BY request_id, outcome, body HAVING count(*) > 1"
    assert found(twice) == set()
    assert cluster.operator.cli("db", "check")["intact"]
    assert cluster.operator.cli("audit", "verify")["intact"]
