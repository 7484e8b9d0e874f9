"""What a call through the SDK costs beside bare httpx, and what importing the SDK costs.

    .venv/bin/python bench/sdk.py [--calls 2000] [--json]

A raw server in a process of its own answers every call with the same three bookings. Calls of both kinds take turns,
one by one, so that whatever the machine does meanwhile hits both; compared are the medians. Bare httpx is what people
write: one `Client`, the token in its headers, `params=`, `.json()`. The SDK's call holds a token, as nearly every call
does, and returns typed bookings.
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
from multiprocessing.connection import Connection

import httpx

from omnilab.client import AsyncOmniLab, OmniLab, OmniLabAuth

PATH = "/v1/interactions:fetchContactBookings"
PARAMS = {"external_id": "contact-1", "booking_status": "CONFIRMED", "page_size": 50, "page_number": 1}
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


def threads(url: str, environ: dict[str, str], calls: int) -> tuple[list[float], list[float]]:
    bare_times, sdk_times = [], []
    with OmniLab(environ=environ) as sdk:
        headers = {"Authorization": f"Bearer {sdk.access_token().reveal()}"}
        with httpx.Client(base_url=url, headers=headers) as bare:
            for number in range(calls + 100):
                began = time.perf_counter()
                assert len(bare.get(PATH, params=PARAMS).json()["bookings"]) == 3
                middle = time.perf_counter()
                assert len(list(sdk.bookings.list("contact-1", booking_status="CONFIRMED", page_size=50))) == 3
                ended = time.perf_counter()
                if number >= 100:
                    bare_times.append(middle - began)
                    sdk_times.append(ended - middle)
    return bare_times, sdk_times


async def tasks(url: str, environ: dict[str, str], calls: int) -> tuple[list[float], list[float]]:
    bare_times, sdk_times = [], []
    async with AsyncOmniLab(environ=environ) as sdk:
        headers = {"Authorization": f"Bearer {(await sdk.access_token()).reveal()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as bare:
            for number in range(calls + 100):
                began = time.perf_counter()
                assert len((await bare.get(PATH, params=PARAMS)).json()["bookings"]) == 3
                middle = time.perf_counter()
                listing = sdk.bookings.list("contact-1", booking_status="CONFIRMED", page_size=50)
                assert len([booking async for booking in listing]) == 3
                ended = time.perf_counter()
                if number >= 100:
                    bare_times.append(middle - began)
                    sdk_times.append(ended - middle)
    return bare_times, sdk_times


def auth(url: str, environ: dict[str, str], calls: int) -> tuple[list[float], list[float]]:
    """The same httpx client with a fixed header, and with `OmniLabAuth`."""
    bare_times, auth_times = [], []
    holder = OmniLabAuth(environ=environ)
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer " + "a" * 700}) as bare:
        for number in range(calls + 100):
            began = time.perf_counter()
            bare.get(PATH, params=PARAMS).json()
            middle = time.perf_counter()
            bare.get(PATH, params=PARAMS, auth=holder).json()
            ended = time.perf_counter()
            if number >= 100:
                bare_times.append(middle - began)
                auth_times.append(ended - middle)
    return bare_times, auth_times


def import_milliseconds(statement: str, times: int = 11) -> float:
    """Median CPU time of an import in a fresh process, without starting Python itself."""
    program = f"import time; began = time.process_time(); {statement}; print(time.process_time() - began)"
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True) for _ in range(times)]
    return statistics.median(float(run.stdout) * 1000 for run in runs)


def row(kind: str, bare: list[float], sdk: list[float]) -> dict[str, object]:
    bare_us, sdk_us = (statistics.median(each) * 1e6 for each in (bare, sdk))
    overhead = (sdk_us / bare_us - 1) * 100
    return {"kind": kind, "httpx_us": round(bare_us), "sdk_us": round(sdk_us), "overhead_percent": round(overhead, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2000, help="calls of each kind (default 2000)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    ready, child = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(child,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ready.recv()}"
    environ = {"CLIENT_ID": "cli_1", "CLIENT_SECRET": "s", "AUDIENCE": "urn:a", "BASE_URL": url}
    environ = {f"OMNILAB_{name}": value for name, value in environ.items()}
    try:
        rows = [
            row("threads", *threads(url, environ, given.calls)),
            row("auth", *auth(url, environ, given.calls)),
            row("tasks", *asyncio.run(tasks(url, environ, given.calls))),
        ]
    finally:
        server.terminate()
        server.join()
    statements = ("import omnilab.client", "from omnilab.client import OmniLabAuth", "import httpx")
    imports = {statement: round(import_milliseconds(statement)) for statement in statements}
    if given.json:
        print(json.dumps({"calls": rows, "imports_ms": imports}))
        return
    for each in rows:
        print("{kind:8} bare httpx {httpx_us} µs, SDK {sdk_us} µs: {overhead_percent:+} %".format(**each))
    for statement, milliseconds in imports.items():
        print(f"{milliseconds:4} ms  {statement}")


if __name__ == "__main__":
    main()
