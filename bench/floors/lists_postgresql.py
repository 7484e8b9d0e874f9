"""The floor under a list on PostgreSQL: raw ASGI on uvicorn, the same SQL on a bare asyncpg connection, the same JSON.

Usage: lists_postgresql.py PORT DATABASE_URL TENANT_OF_TOKEN_FILE. Connections are kept in a list of their own, four as
ours has; asyncpg's pool would clear each session after its use.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import asyncpg
import uvicorn
from starlette.types import Receive, Scope, Send

from omnilab.bookings.model.booking import Booking
from omnilab.bookings.routes.answers import encode_page

_SQL = f"""SELECT {", ".join(Booking._fields)} FROM bookings WHERE tenant_id = $1 AND external_id = $2
    ORDER BY slot_start_at, booking_id LIMIT 50 OFFSET 0"""
_CONNECTIONS = 4


class Lists:
    """Lists of one contact's bookings."""

    def __init__(self, url: str, tenants: dict[bytes, str]) -> None:
        self._url = url
        self._tenants = tenants
        self._idle: asyncio.LifoQueue[Any] | None = None

    async def _connections(self) -> asyncio.LifoQueue[Any]:
        if self._idle is None:
            self._idle = asyncio.LifoQueue()
            for _ in range(_CONNECTIONS):
                self._idle.put_nowait(await asyncpg.connect(self._url))
        return self._idle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        tenant = self._tenants[dict(scope["headers"])[b"authorization"]]
        contact = dict(parse_qsl(scope["query_string"].decode()))["external_id"]
        idle = self._idle or await self._connections()
        connection = await idle.get()
        rows = [tuple(row) for row in await connection.fetch(_SQL, tenant, contact)]
        idle.put_nowait(connection)
        body = encode_page(rows, len(rows), page_number=1, page_size=50)
        head = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    port, url, tenants_file = sys.argv[1:]
    known = {name.encode(): tenant for name, tenant in json.loads(Path(tenants_file).read_text()).items()}
    uvicorn.run(Lists(url, known), port=int(port), log_level="error", lifespan="off", loop="uvloop", http="httptools")
