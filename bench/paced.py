"""Requests at a fixed rate whatever the answers take, so that a slow answer delays no later request.

    python -m bench.paced PORT RATE SECONDS FILE

Latency counts from the moment a request was due, not from when it could be sent: a server that stands still for a
second shows in every request of that second (no coordinated omission). Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path

import uvloop

from bench.figures import percentile

CONNECTIONS = 64
# For uvloop, which counts in milliseconds, this is none: the sender spins on its core. With a whole one it was late by
# up to 5 ms when its core had gone to sleep, and 99 % of the constant's answers came within 6.3 ms instead of 0.9.
_LOOK_SECONDS = 0.0005


class Lane(asyncio.Protocol):
    """One keep-alive connection: sends what is due, notes when the answer was whole."""

    def __init__(self, latencies: list[float], refused: list[int]) -> None:
        self._latencies = latencies
        self._refused = refused
        self._due: deque[float] = deque()
        self._buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]

    def send(self, request: bytes, due: float) -> None:
        self._due.append(due)
        self.transport.write(request)

    @property
    def waiting(self) -> int:
        return len(self._due)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head_end = self._buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = self._buffer[:head_end].lower()
            start = head.index(b"content-length:") + 15
            length = int(head[start:].split(b"\r\n", 1)[0])
            whole = head_end + 4 + length
            if len(self._buffer) < whole:
                return
            if head[9:10] != b"2":
                self._refused.append(1)
            self._latencies.append(time.perf_counter() - self._due.popleft())
            self._buffer = self._buffer[whole:]


async def measure(port: int, rate: float, seconds: float, requests: list[bytes]) -> dict[str, float]:
    """Send `rate` requests a second; percentiles of the latency in milliseconds, and how late the sender itself was."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    refused: list[int] = []
    lanes = [
        (await loop.create_connection(lambda: Lane(latencies, refused), "127.0.0.1", port))[1]
        for _ in range(CONNECTIONS)
    ]
    count, total, began, worst_late = 0, int(rate * seconds), time.perf_counter() + 0.1, 0.0
    while count < total:
        now = time.perf_counter()
        while count < total and (due := began + count / rate) <= now:
            # The next request goes to the connection that waits for the fewest answers.
            lane = lanes[count % CONNECTIONS]
            if lane.waiting:
                lane = min(lanes, key=lambda each: each.waiting)
            lane.send(requests[count % len(requests)], due)
            worst_late = max(worst_late, now - due)
            count += 1
        await asyncio.sleep(_LOOK_SECONDS)
    while any(lane.waiting for lane in lanes):  # noqa: ASYNC110 - a lane ends in its own time
        await asyncio.sleep(0.01)
    for lane in lanes:
        lane.transport.close()
    return {
        "rate": rate,
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
        "refused": len(refused),
        "sender_late_ms": worst_late * 1000,
    }


def read_requests(path: Path) -> list[bytes]:
    """The lines of requests.lua as bytes to send."""
    requests = []
    for line in path.read_text().splitlines():
        method, target, authorization, kind, body = line.split("\t")
        head = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
        head += [f"Authorization: {authorization}"] if authorization else []
        head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"] if body else []
        requests.append(("\r\n".join([*head, "", ""]) + body).encode())
    return requests


def main() -> None:
    port, rate, seconds, path = sys.argv[1:]
    requests = read_requests(Path(path))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(int(port), float(rate), float(seconds), requests))))


if __name__ == "__main__":
    main()
