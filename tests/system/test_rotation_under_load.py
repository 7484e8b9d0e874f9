"""Secrets, signing keys and the master key change while two workers serve: not one call fails, no token is refused.

Callers hold connections to both workers and do nothing but get tokens and list bookings. Beside them stand two API
owners who read the JWKS once, before anything changed, and verify every token from that copy alone.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joserfc.jwt
import jwt
import pytest
from joserfc.jwk import KeySet

from omnilab.crypto.sealing import new_master_key_text
from tests.harness import Credentials, Omnilab, Server, connections_to_every_worker
from tests.harness.connections import Connection
from tests.system.keys_at_rest import keys_of

EACH = 6  # connections to each worker
NEXT_KEYS_ARE_OLD = "UPDATE signing_keys SET created_at = created_at - 90000000 WHERE status = 'next'"


@dataclass
class Load:
    """Callers at work: with which secret, what they were answered, and every token they got."""

    client: Credentials
    secrets: list[str]
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    tokens: list[str] = field(default_factory=list)
    over: bool = False

    async def call(self, number: int, connection: Connection) -> None:
        used, token = "", ""
        for count in range(1_000_000):
            if self.over:
                return
            secret = self.secrets[number % len(self.secrets)]
            if secret != used or count % 4 == 0:
                answer = await connection.token(self.client, client_secret=secret)
                self.answers["token", answer.status, answer.code] += 1
                used, token = secret, str(answer.document.get("access_token", ""))
                self.tokens.append(token)
            answer = await connection.bookings(token, "contact-1")
            self.answers["list", answer.status, answer.code] += 1

    async def during(self, server: Server, change: Callable[[], Awaitable[None]]) -> None:
        """Keep the callers busy from before a change until after it."""
        connections = await connections_to_every_worker(server, EACH)
        callers = [asyncio.create_task(self.call(number, each)) for number, each in enumerate(connections)]
        started, before = time.monotonic(), self.answers.total()
        try:
            await self.answered(500)
            await change()
            await self.answered(500)
        finally:
            self.over = True
            await asyncio.gather(*callers)
            self.over = False
        rate = (self.answers.total() - before) / (time.monotonic() - started)
        logging.getLogger(__name__).info("%s: %.0f requests a second", change.__name__, rate)

    async def answered(self, more: int) -> None:
        """Wait until so many further answers came."""
        target = self.answers.total() + more
        while self.answers.total() < target:
            await asyncio.sleep(0.01)

    def refused(self) -> set[tuple[str, int, str]]:
        return {each for each in self.answers if each[1] != 200}


class ApiOwners:
    """Two verifiers that are not ours, with the JWKS as it was when they started."""

    def __init__(self, server: Server, client: Credentials) -> None:
        document = server.http.get("/.well-known/jwks.json").json()
        self._pyjwt = {key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys}
        self._joserfc = KeySet.import_key_set(document)
        self._client = client

    def verify(self, token: str) -> str:
        """The id of the key that signed it."""
        key_id = jwt.get_unverified_header(token)["kid"]
        jwt.decode(
            token,
            self._pyjwt[key_id],
            algorithms=["ES256"],
            audience=self._client.audience,
            issuer=self._client.issuer,
        )
        assert joserfc.jwt.decode(token, self._joserfc, algorithms=["ES256"]).claims["iss"] == self._client.issuer
        return str(key_id)


async def command(omnilab: Omnilab, *words: str) -> dict[str, Any]:
    return await asyncio.to_thread(omnilab.cli, *words)


@pytest.mark.timeout(240)
def test_a_rotation_of_the_secret_fails_nobody(provisioned: tuple[Omnilab, Credentials], tmp_path: Path) -> None:
    template, client = provisioned
    omnilab = template.copied_to(tmp_path)
    load = Load(client, [client.client_secret])

    async def rotate() -> None:
        new = await command(omnilab, "secrets", "rotate", client.client_id, "--overlap", "1s", "--label", "new")
        load.secrets = [new["client_secret"], client.client_secret]  # every second caller has moved
        await load.answered(400)
        await asyncio.sleep(2.5)  # uses are written every two seconds
        listed = (await command(omnilab, "secrets", "list", client.client_id))["secrets"]
        assert [each["verdict"] for each in listed] == ["in use", "in use"]
        assert all(each["use_count"] > 0 and each["last_address"] == "127.0.0.1" for each in listed)
        load.secrets = [new["client_secret"]]
        await load.answered(400)
        listed = (await command(omnilab, "secrets", "list", client.client_id))["secrets"]
        assert listed[0]["verdict"] == "in use"  # nobody uses it, but its tokens may live
        await command(omnilab, "secrets", "revoke", client.client_id, client.secret_id)

    with omnilab.serve(workers=2, key_rotation_days="off") as server:
        asyncio.run(load.during(server, rotate))
    assert load.refused() == set()


@pytest.mark.timeout(240)
def test_new_signing_keys_and_a_new_master_key_fail_nobody(
    provisioned: tuple[Omnilab, Credentials], tmp_path: Path
) -> None:
    template, client = provisioned
    omnilab = template.copied_to(tmp_path)
    database, key_file = tmp_path / ".omnilab/omnilab.db", tmp_path / ".omnilab/master.key"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(NEXT_KEYS_ARE_OLD)
    load, old, new = Load(client, [client.client_secret]), key_file.read_text().strip(), new_master_key_text()

    async def keys_rotate() -> None:
        await command(omnilab, "keys", "rotate")

    async def keys_reseal() -> None:
        key_file.write_text(f"{new}\n{old}\n")
        done = (await command(omnilab, "keys", "reseal"))["resealed"]
        assert done == {"installation": 2, "tenants": 2, "signing_keys": 9}
        assert set((await command(omnilab, "keys", "reseal"))["resealed"].values()) == {0}
        key_file.write_text(f"{new}\n")
        # What the workers read again now is sealed under a key that they were not started with.
        await command(omnilab, "tenants", "create", "globex", "--name", "Globex")
        await command(omnilab, "clients", "create", "--tenant", "globex", "--name", "x")
        await command(omnilab, "tenants", "update", "acme", "--name", "Acme again")

    async def keys_rotate_at_once() -> None:
        await command(omnilab, "keys", "rotate", "--now")

    with omnilab.serve(workers=2) as server:
        owners = ApiOwners(server, client)
        asyncio.run(load.during(server, keys_rotate))
        asyncio.run(load.during(server, keys_reseal))
        resealed = len(load.tokens)
        replace_a_worker(server)
        asyncio.run(load.during(server, keys_rotate_at_once))
    assert load.refused() == set()
    signed_by = Counter(owners.verify(token) for token in load.tokens[:resealed])
    assert len(signed_by) == 2
    assert omnilab.cli("audit", "verify")["intact"] is True
    link = omnilab.cli("secrets", "add", client.client_id, "--hand-off")["hand_off_url"]
    texts = {"a secret": client.client_secret, "a claim": link.partition("#")[2]}
    searched = [*keys_of(database, new), ("the old master key", base64.b64decode(old))]
    content = everything_at_rest(database)
    for name, secret in searched + [(name, text.encode()) for name, text in texts.items()]:
        for form in (secret, secret.hex().encode(), base64.b64encode(secret), base64.urlsafe_b64encode(secret)):
            assert form.rstrip(b"=") not in content, name


def everything_at_rest(database: Path) -> bytes:
    """The database's files, free pages and write-ahead log included, and a backup as SQLite makes it."""
    backup = database.parent / "omnilab.db-backup"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    return b"".join(path.read_bytes() for path in database.parent.glob("omnilab.db*"))


def replace_a_worker(server: Server) -> None:
    """Kill one; the next is forked from a parent that was started with the old master key."""
    before = set(server.worker_pids())
    os.kill(min(before), signal.SIGKILL)
    while len(now := set(server.worker_pids())) < 2 or now == before:
        time.sleep(0.05)
