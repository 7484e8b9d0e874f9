"""PostgreSQL's files, its write-ahead log, its own log and a dump of it hold no secret that opens anything.

All that makes secrets has been done first: clients, rotation, hand-off links made and opened, tokens, refusals, writes.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import asyncpg

from tests.cluster.nodes import Cluster, cluster_in
from tests.harness import Credentials, Server, booking_row
from tests.system.hunting import Hunt, random_part
from tests.system.keys_at_rest import keys_in

_ZEROS = re.compile(rb"\0{64,}")


def rows_of(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(database_url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def live(cluster: Cluster, server: Server, hunt: Hunt) -> None:
    """Make, use and misuse secrets."""
    operator = cluster.operator
    operator.create_tenant("acme", "bookings:create")
    client = operator.create_client("acme")
    operator.import_bookings("acme", [booking_row(number) for number in (1, 2, 3)])
    hunt.add("client secret", random_part(client.client_secret))
    rotated = operator.cli("secrets", "rotate", client.client_id)
    hunt.add("rotated secret", random_part(rotated["client_secret"]))
    link = operator.cli("secrets", "add", client.client_id, "--hand-off")["hand_off_url"]
    path, _, claim = link.partition("#")
    opened = server.http.post("/hand-off", json={"hand_off_id": path.rpartition("/")[2], "claim": claim}).json()
    hunt.add("claim", claim)
    hunt.add("secret of a link", random_part(opened["client_secret"]))
    use(server, client, hunt)
    wrong = client.client_secret[:-8] + "AAAAAAAA"
    fields = {"client_secret": wrong}
    assert server.token_answer(client, **fields).status_code == 401
    headers = {"Authorization": f"Bearer {client.client_secret}"}
    assert server.http.get("/v1/oauth:whoami", headers=headers).status_code == 401


def use(server: Server, client: Credentials, hunt: Hunt) -> None:
    token = server.token(client)
    hunt.add_token("token", token)
    assert server.list_bookings(token, "contact-1").status_code == 200
    body = {"external_id": "contact-1", "booking_id": "bkg_00000001"}
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "one"}
    answer = server.http.post("/v1/interactions:cancelContactBooking", json=body, headers=headers)
    assert answer.status_code == 200
    own = {"client_id": client.client_id, "client_secret": client.client_secret, "token": token}
    assert server.http.post("/v1/oauth:revoke", data=own).status_code == 200


def written(cluster: Cluster) -> dict[str, bytes]:
    """What the database engine has on its disk, and what a backup of it holds. Runs of zeros are shortened."""
    name = cluster.database_url.rpartition("/")[2]
    [(number,)] = cluster.postgresql.sql(name, f"SELECT oid FROM pg_database WHERE datname = '{name}'")
    cluster.postgresql.sql(name, "CHECKPOINT")
    root = cluster.postgresql.directory
    files = [*(root / "base" / number).rglob("*"), *(root / "pg_wal").rglob("*"), root.parent / "postgresql.log"]
    found = {path.name: _ZEROS.sub(b"\0" * 16, path.read_bytes()) for path in files if path.is_file()}
    dump = subprocess.run(["pg_dump", cluster.database_url], capture_output=True, check=True)
    return found | {"dump": dump.stdout}


def test_nothing_on_the_disk_opens_anything(tmp_path: Path) -> None:
    with cluster_in(tmp_path) as cluster:
        hunt = Hunt()
        with cluster.nodes[0].serve() as server:
            live(cluster, server, hunt)
        master_key = Path(cluster.operator.directory / ".omnilab/master.key").read_text().strip()
        keys = list(keys_in(lambda sql: rows_of(cluster.database_url, sql), master_key))
        assert {name for name, _ in keys} == {"master key", "pepper", "audit_chain_key", "contact key", "signing key"}
        for name, key in keys:
            hunt.add_bytes(name, key)
        places = written(cluster)
        assert b"token_malformed" in b"".join(places.values())  # what was done is there; what opens it is not
        assert len(places["dump"]) > 10_000
        hunt.finds_nothing_in(places)
