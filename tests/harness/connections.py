"""Plain keep-alive connections to a server, each known by the worker that answers on it.

The kernel spreads connections over the workers, not requests: who wants to be sure to have asked every worker has to
hold connections to all of them.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.harness.server import Credentials, Server

# How a connection fails on which an answer was awaited.
CUT = (OSError, asyncio.IncompleteReadError)
_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def code(self) -> str:
        """Why it was refused, for the API and the token endpoint alike; empty when it was not."""
        if self.status < 400:
            return ""
        document = self.document
        return str(document.get("code") or document["error_uri"].rpartition("/")[2])

    @property
    def closes(self) -> bool:
        return self.headers.get("connection", "").lower() == "close"


class Connection:
    """One connection; one request at a time. Whatever cuts it raises one of `CUT`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.worker = 0

    @classmethod
    async def open(cls, server: Server) -> Connection:
        address = urlsplit(server.url)
        return cls(*await asyncio.open_connection(address.hostname, address.port))

    @property
    def local_port(self) -> int:
        return int(self._writer.get_extra_info("sockname")[1])

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def get(self, target: str, token: str = "") -> Answer:
        return await self.send(_head("GET", target, {"Authorization": f"Bearer {token}"} if token else {}))

    async def post(self, target: str, body: object, token: str = "", **headers: str) -> Answer:
        """POST JSON; `headers` are named in Python's manner: `idempotency_key`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {"Authorization": f"Bearer {token}"} if token else {}
        content = json.dumps(body).encode()
        given |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        return await self.send(_head("POST", target, given) + content)

    async def token(self, client: Credentials, **fields: str) -> Answer:
        body = {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "audience": client.audience,
            "grant_type": "client_credentials",
        }
        return await self.post("/v1/oauth:token", body | fields)

    async def bookings(self, token: str, external_id: str) -> Answer:
        return await self.get(f"/v1/interactions:fetchContactBookings?external_id={external_id}", token)

    async def cancel(self, token: str, external_id: str, booking_id: str, **headers: str) -> Answer:
        body = {"external_id": external_id, "booking_id": booking_id}
        return await self.post("/v1/interactions:cancelContactBooking", body, token, **headers)

    async def create(self, token: str, body: Mapping[str, Any], **headers: str) -> Answer:
        return await self.post("/v1/interactions:createContactBooking", body, token, **headers)

    def begin(self, request: bytes) -> None:
        """Send the beginning of a request; `send` is to bring the rest of it."""
        self._writer.write(request)

    async def send(self, request: bytes) -> Answer:
        """Send a request as it stands and read its answer."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, body)


async def connections_to_every_worker(server: Server, each: int) -> list[Connection]:
    """Open connections until every worker of the server answers on `each` of them; their `worker` is set."""
    kept: list[Connection] = []
    counts: Counter[int] = Counter()
    wanted = server.worker_pids()
    for _ in range(_ATTEMPTS * max(1, each)):
        connection = await Connection.open(server)
        assert (await connection.get("/healthz")).status == 200
        connection.worker = _worker_of(server, connection.local_port)
        if counts[connection.worker] < each:
            counts[connection.worker] += 1
            kept.append(connection)
        else:
            await connection.close()
        if all(counts[pid] >= each for pid in wanted):
            return kept
    raise AssertionError(f"not every worker took connections: {counts}, workers {wanted}")


def _worker_of(server: Server, peer_port: int) -> int:
    """The process that holds the server's end of the connection from this local port (proc(5), /proc/net/tcp)."""
    port = urlsplit(server.url).port
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    ours, theirs = f":{port:04X}", f":{peer_port:04X}"
    established = (row for row in rows if row[3] == "01")
    # A set: while connections come and go, /proc may tell of one twice.
    [inode] = {row[9] for row in established if row[1].endswith(ours) and row[2].endswith(theirs)}
    for pid in server.worker_pids():
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return pid
    raise AssertionError(f"no worker holds the connection from port {peer_port}")


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()
