"""The floor under a list: raw ASGI on uvicorn, the same SQL on the bare driver, the same JSON. No token is looked at.

Usage: lists.py PORT DATABASE TENANT_OF_TOKEN_FILE. The caller's tenant is looked up by the Authorization header's
text, because the SQL needs one.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import uvicorn
from starlette.types import Receive, Scope, Send

from omnilab.bookings.model.booking import Booking
from omnilab.bookings.routes.answers import encode_page

_SQL = f"""SELECT {", ".join(Booking._fields)} FROM bookings WHERE tenant_id = ? AND external_id = ?
    ORDER BY slot_start_at, booking_id LIMIT 50 OFFSET 0"""


class Lists:
    """Lists of one contact's bookings."""

    def __init__(self, database: str, tenants: dict[bytes, str]) -> None:
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, cached_statements=256)
        self._connection.execute("PRAGMA cache_size = -16384")
        self._tenants = tenants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        tenant = self._tenants[dict(scope["headers"])[b"authorization"]]
        contact = dict(parse_qsl(scope["query_string"].decode()))["external_id"]
        rows = self._connection.execute(_SQL, (tenant, contact)).fetchall()
        body = encode_page(rows, len(rows), page_number=1, page_size=50)
        head = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    port, database, tenants_file = sys.argv[1:]
    known = {name.encode(): tenant for name, tenant in json.loads(Path(tenants_file).read_text()).items()}
    uvicorn.run(
        Lists(database, known), port=int(port), log_level="error", lifespan="off", loop="uvloop", http="httptools"
    )
