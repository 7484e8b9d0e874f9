"""What a call through the SDK costs beside bare httpx, and what importing the SDK costs.

    PYTHONPATH=. .venv/bin/python -m bench.sdk [--calls 2000] [--json]

A raw server in a process of its own answers every call with the same three bookings. Calls of both kinds take turns,
one by one and each first in turn, so that whatever the machine does meanwhile hits both; compared are the medians.
Bare httpx is what people write: one `Client`, the token in its headers, `params=`, `.json()`. The SDK's call holds a
token, as nearly every call does, and returns typed bookings.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import httpx

from omnilab.client import AsyncOmniLab, OmniLab, OmniLabAuth

PATH = "/v1/interactions:fetchContactBookings"
PARAMS: dict[str, str | int] = {
    "external_id": "contact-1",
    "booking_status": "CONFIRMED",
    "page_size": 50,
    "page_number": 1,
}
BOOKING = {
    "booking_id": "bkg_0000000000000000000001",
    "booking_status": "CONFIRMED",
    "external_id": "contact-1",
    "interaction_id": "int_1",
    "event_id": "evt_1",
    "event_title": "Product evening",
    "event_location": "Berlin",
    "slot_id": "slt_1",
    "slot_start_date": "2030-01-02T10:00:00Z",
    "slot_end_date": "2030-01-02T11:00:00Z",
    "ticket_type": "standard",
    "created_at": "2026-01-01T00:00:00Z",
    "cancelled_at": None,
    "checked_in_at": None,
}
PAGE = {"bookings": [BOOKING] * 3, "page_number": 1, "page_size": 50, "total_count": 3}
IMPORTS = ("import omnilab.client", "from omnilab.client import OmniLabAuth", "import httpx")
WARM_UP = 100
GRANT = {"access_token": "eyJ." + "a" * 700 + ".sig", "token_type": "Bearer", "expires_in": 3600}


def answer(document: object) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    told = "X-Request-Id: 01a20b31-aabb-7fa2-9fa7-5fb14c1cd07e\r\nCache-Control: no-store\r\n"
    limits = 'RateLimit: "client";r=1199;t=60, "tenant";r=11999;t=60\r\n\r\n'
    return (head + told + limits).encode() + body


class Raw(asyncio.Protocol):
    """Answers a GET with the page, and the end of a JSON body with a token."""

    page, grant = answer(PAGE), answer(GRANT)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):  # of a token request, whose head came before it or with it
            self.transport.write(self.grant)
        elif data.startswith(b"GET"):
            self.transport.write(self.page)


def serve(ready: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Raw, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class Pair:
    """Times of calls of both kinds, which take turns at going first."""

    def __init__(self, bare: Callable[[], Any], sdk: Callable[[], Any]) -> None:
        self._calls = {"bare": bare, "sdk": sdk}
        self._times: dict[str, list[float]] = {"bare": [], "sdk": []}

    def run(self, calls: int) -> None:
        for number in range(calls + WARM_UP):
            for kind in _order(number):
                began = time.perf_counter()
                self._calls[kind]()
                self._times[kind].append(time.perf_counter() - began)

    async def run_tasks(self, calls: int) -> None:
        for number in range(calls + WARM_UP):
            for kind in _order(number):
                began = time.perf_counter()
                await self._calls[kind]()
                self._times[kind].append(time.perf_counter() - began)

    def row(self, kind: str) -> dict[str, Any]:
        bare, sdk = (statistics.median(self._times[each][WARM_UP:]) * 1e6 for each in ("bare", "sdk"))
        return {
            "kind": kind,
            "httpx_us": round(bare),
            "sdk_us": round(sdk),
            "overhead_percent": round((sdk / bare - 1) * 100, 1),
        }


def _order(number: int) -> tuple[str, str]:
    return ("bare", "sdk") if number % 2 else ("sdk", "bare")


def threads(url: str, environ: dict[str, str], calls: int) -> dict[str, Any]:
    """One contact's bookings as JSON by httpx, and as typed bookings by the SDK."""
    with OmniLab(environ=environ) as sdk:
        headers = {"Authorization": f"Bearer {sdk.access_token().reveal()}"}
        with httpx.Client(base_url=url, headers=headers) as bare:
            pair = Pair(
                lambda: bare.get(PATH, params=PARAMS).json()["bookings"],
                lambda: list(sdk.bookings.list("contact-1", booking_status="CONFIRMED", page_size=50)),
            )
            pair.run(calls)
    return pair.row("threads")


def auth(url: str, environ: dict[str, str], calls: int) -> dict[str, Any]:
    """The same httpx client with a fixed header, and with `OmniLabAuth`."""
    holder = OmniLabAuth(environ=environ)
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer " + "a" * 700}) as bare:
        pair = Pair(
            lambda: bare.get(PATH, params=PARAMS).json(), lambda: bare.get(PATH, params=PARAMS, auth=holder).json()
        )
        pair.run(calls)
    return pair.row("auth")


async def tasks(url: str, environ: dict[str, str], calls: int) -> dict[str, Any]:
    """As `threads`, by asyncio."""
    async with AsyncOmniLab(environ=environ) as sdk:
        headers = {"Authorization": f"Bearer {(await sdk.access_token()).reveal()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as bare:

            async def by_httpx() -> Any:
                return (await bare.get(PATH, params=PARAMS)).json()["bookings"]

            async def by_sdk() -> Any:
                listing = sdk.bookings.list("contact-1", booking_status="CONFIRMED", page_size=50)
                return [booking async for booking in listing]

            pair = Pair(by_httpx, by_sdk)
            await pair.run_tasks(calls)
    return pair.row("tasks")


def import_milliseconds(statement: str, times: int = 11) -> float:
    """Median CPU time of an import in a fresh process, without starting Python itself."""
    program = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(times)]
    return statistics.median(float(run.stdout) * 1000 for run in runs)


def measure(calls: int = 2000) -> dict[str, Any]:
    """`calls`: a row each for threads, `OmniLabAuth` and tasks; `imports_ms`: CPU time by statement."""
    ready, child = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(child,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ready.recv()}"
        environ = {"CLIENT_ID": "cli_1", "CLIENT_SECRET": "s", "AUDIENCE": "urn:a", "BASE_URL": url}
        environ = {f"OMNILAB_{name}": value for name, value in environ.items()}
        rows = [
            threads(url, environ, calls),
            auth(url, environ, calls),
            asyncio.run(tasks(url, environ, calls)),
        ]
    finally:
        server.terminate()
        server.join()
    return {"calls": rows, "imports_ms": {each: round(import_milliseconds(each)) for each in IMPORTS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2000, help="calls of each kind (default 2000)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    figures = measure(given.calls)
    if given.json:
        print(json.dumps(figures))
        return
    for row in figures["calls"]:
        bare, sdk, overhead = row["httpx_us"], row["sdk_us"], row["overhead_percent"]
        print(f"{row['kind']:8} bare httpx {bare} µs, SDK {sdk} µs: {overhead:+} %")
    for statement, milliseconds in figures["imports_ms"].items():
        print(f"{milliseconds:4} ms  {statement}")


if __name__ == "__main__":
    main()
