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
from omnilab.telemetry.redaction import excerpt
from omnilab.telemetry.timestamps import log_time

_FLUSH_SECONDS = 0.1
_FLUSH_LINES = 500
# A reader that has stopped reading must cost lines, not memory.
_MAX_LINES = 20_000
# POSIX lets writes of up to PIPE_BUF bytes to a pipe be whole: lines of several workers never tear.
_CHUNK_BYTES = 4096
_MAX_PATH = 200
_MAX_PARTS = 10_000
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


class AccessLog:
    """Writes access lines to a file descriptor. One per process, used on its event loop."""

    def __init__(self, clock: Clock, *, descriptor: int = 2, as_text: bool = False) -> None:
        self._clock = clock
        self._descriptor = descriptor
        self._as_text = as_text
        self._lines: list[bytes] = []
        self._calls: dict[tuple[str, str], str] = {}  # by method and path
        self._callers: dict[str, str] = {}  # by client id
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0

    def observe(self, exchange: Finished, duration_seconds: float) -> None:
        """Take the line of a finished request."""
        if len(self._lines) >= _MAX_LINES:
            self.dropped += 1
            return
        line = self._text(exchange, duration_seconds) if self._as_text else self._json(exchange, duration_seconds)
        self._lines.append(line)
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

    def _json(self, exchange: Finished, duration_seconds: float) -> bytes:
        """One JSON object. Put together from parts that are encoded once: half the price of an encoder's call."""
        who = exchange.caller or exchange.subject
        line = (
            f'{{"timestamp":"{log_time(self._clock.now_ms())}","level":"info","event":"request"'
            f',"request_id":"{exchange.request_id}"{self._call_part(exchange)},"status":{exchange.status or 499}'
            f',"duration_ms":{duration_seconds * 1000:.3f}{"" if who is None else self._caller_part(who)}'
        )
        if exchange.code:
            line += f',"code":"{exchange.code}"'
        if exchange.caller_request_id:  # its characters are checked where it is read: none needs escaping
            line += f',"caller_request_id":"{exchange.caller_request_id}"'
        return (line + "}\n").encode()

    def _call_part(self, exchange: Finished) -> str:
        operation = exchange.operation
        if operation is None:
            method, path = excerpt(exchange.method, 20), excerpt(exchange.path, _MAX_PATH)
            return f',"method":{_quoted(method)},"path":{_quoted(path)}'
        key = (exchange.method, exchange.path)
        part = self._calls.get(key)
        if part is None:
            part = f',"method":{_quoted(exchange.method)},"path":{_quoted(exchange.path)}'
            _keep(self._calls, key, part)
        return part

    def _caller_part(self, who: Any) -> str:
        part = self._callers.get(who.client_id)
        if part is None:
            part = f',"client_id":{_quoted(who.client_id)},"tenant":{_quoted(who.tenant)}'
            _keep(self._callers, who.client_id, part)
        return part

    def _text(self, exchange: Finished, duration_seconds: float) -> bytes:
        known = exchange.operation is not None
        who = exchange.caller or exchange.subject
        parts = (
            log_time(self._clock.now_ms()),
            exchange.method if known else excerpt(exchange.method, 20),
            exchange.path if known else _quoted(excerpt(exchange.path, _MAX_PATH)),
            str(exchange.status or 499),
            exchange.code,
            f"{duration_seconds * 1000:.1f} ms",
            exchange.request_id,
            who.client_id if who else "",
        )
        return " ".join(part for part in parts if part).encode() + b"\n"


def _keep(parts: dict[Any, str], key: object, part: str) -> None:
    if len(parts) >= _MAX_PARTS:
        parts.clear()
    parts[key] = part


def _quoted(text: str) -> str:
    """As a JSON string; what is no UTF-8 (a lone surrogate) is replaced."""
    return _encode(text.encode("utf-8", "replace").decode()).decode()


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
