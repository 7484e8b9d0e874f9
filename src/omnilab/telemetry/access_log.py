"""The access line: one a request, with its id, path, status and duration, written in batches.

Promises that no query string, header or body reaches the log: what a line holds is from closed sets (call, method,
status, code), proved (client, tenant), ours (request id), or masked by shape (the path of no call). Costs the
request an encoding and an append; writing happens a moment later, in whole lines.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Protocol

import msgspec

from omnilab.clock import Clock
from omnilab.telemetry.redaction import mask
from omnilab.telemetry.timestamps import log_time

_FLUSH_SECONDS = 0.1
_FLUSH_LINES = 500
# A reader that has stopped reading must cost lines, not memory.
_MAX_LINES = 20_000
# POSIX lets writes of up to PIPE_BUF bytes to a pipe be whole: lines of several workers never tear.
_CHUNK_BYTES = 4096
_MAX_PATH = 200
_encode = msgspec.json.Encoder().encode


class Finished(Protocol):
    """What a line needs of a finished exchange."""

    request_id: str
    caller_request_id: str | None
    method: str
    path: str
    status: int
    code: str
    operation: Any
    caller: Any
    subject: Any


class AccessLine(msgspec.Struct, omit_defaults=True):
    """One line; empty fields are left out."""

    timestamp: str
    event: str
    request_id: str
    method: str
    path: str
    status: int
    duration_ms: float
    level: str = ""
    code: str = ""
    client_id: str = ""
    tenant: str = ""
    caller_request_id: str | None = None


class AccessLog:
    """Writes access lines to a file descriptor. One per process, used on its event loop."""

    def __init__(self, clock: Clock, *, descriptor: int = 2, as_text: bool = False) -> None:
        self._clock = clock
        self._descriptor = descriptor
        self._as_text = as_text
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0

    def observe(self, exchange: Finished, duration_seconds: float) -> None:
        """Take the line of a finished request."""
        if len(self._lines) >= _MAX_LINES:
            self.dropped += 1
            return
        line = self._line(exchange, duration_seconds)
        self._lines.append((_as_text(line) if self._as_text else _encode(line)) + b"\n")
        if self._timer is None:
            self._loop = asyncio.get_running_loop()
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self.flush)
        elif len(self._lines) % _FLUSH_LINES == 0:
            self.flush()

    def flush(self) -> None:
        """Write what has been taken; what a full pipe does not take now is kept for the next time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        written = 0
        try:
            for count, chunk in _chunks(self._lines):
                os.write(self._descriptor, chunk)
                written += count
        except BlockingIOError:
            pass
        except OSError:  # nobody reads any more: there is nowhere left to say so
            self.dropped += len(self._lines) - written
            written = len(self._lines)
        del self._lines[:written]
        if self._lines and self._loop is not None and not self._loop.is_closed():
            self._timer = self._loop.call_later(_FLUSH_SECONDS, self.flush)

    def _line(self, exchange: Finished, duration_seconds: float) -> AccessLine:
        known = exchange.operation is not None
        who = exchange.caller or exchange.subject
        return AccessLine(
            timestamp=log_time(self._clock.now_ms()),
            event="request",
            level="info",
            request_id=exchange.request_id,
            method=exchange.method if known else mask(exchange.method)[:20],
            path=exchange.path if known else mask(exchange.path[:_MAX_PATH]),
            status=exchange.status or 499,
            duration_ms=round(duration_seconds * 1000, 3),
            code=exchange.code,
            client_id=who.client_id if who else "",
            tenant=who.tenant if who else "",
            caller_request_id=exchange.caller_request_id,
        )


def _as_text(line: AccessLine) -> bytes:
    parts = (
        line.timestamp,
        line.method,
        line.path,
        str(line.status),
        line.code,
        f"{line.duration_ms:.1f} ms",
        line.request_id,
        line.client_id,
    )
    return " ".join(part for part in parts if part).encode()


def _chunks(lines: list[bytes]) -> list[tuple[int, bytes]]:
    """Whole lines joined to chunks of at most `_CHUNK_BYTES`, each with its number of lines."""
    chunks: list[tuple[int, bytes]] = []
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > _CHUNK_BYTES:
            chunks.append((len(group), b"".join(group)))
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        chunks.append((len(group), b"".join(group)))
    return chunks
