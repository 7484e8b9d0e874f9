"""Searching a stream of any length in blocks: constant memory, nothing lost where two blocks meet.

Also says where a hit stands: line and column, counted from 1 as editors and SARIF do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from omnilab.scan.search import REACH_BYTES, Hit, search

BLOCK_BYTES = 4 << 20


class Stream(Protocol):
    """Something that can be read once."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Placed:
    """A hit with its line and its column (in characters)."""

    hit: Hit
    line: int
    column: int


class StreamSearch:
    """Searches one stream; `read_bytes` counts what was read so far."""

    def __init__(self, stream: Stream, first: bytes = b"", *, limit: int | None = None) -> None:
        self._stream = stream
        self._first = first
        self._limit = limit
        self.read_bytes = 0
        self.cut_off = False  # there was more than `limit` bytes

    def hits(self) -> Iterator[Placed]:
        """All hits. Raises what reading raises."""
        kept, lines = b"", 0
        kept_from_start = 0  # how much of `kept` was searched for beginnings of hits already
        while True:
            block = self._next_block()
            data = kept + block
            # What begins in the last stretch may go on in the next block: it is taken with that one.
            settled = len(data) if not block else max(kept_from_start, len(data) - REACH_BYTES)
            for hit in search(data):
                if kept_from_start <= hit.offset < settled:
                    yield _placed(data, hit, lines)
            if not block:
                return
            # As much again stays in front, so that an encoded run can be read from its beginning.
            drop = max(0, settled - REACH_BYTES)
            lines += data.count(b"\n", 0, drop)
            kept, kept_from_start = data[drop:], settled - drop

    def _next_block(self) -> bytes:
        block, self._first = self._first or self._stream.read(BLOCK_BYTES), b""
        self.read_bytes += len(block)
        if self._limit is not None and self.read_bytes > self._limit:
            self.cut_off = True
            return b""
        return block


def _placed(data: bytes, hit: Hit, lines: int) -> Placed:
    begin = data.rfind(b"\n", 0, hit.offset) + 1
    column = len(data[begin : hit.offset].decode("utf-8", "replace")) + 1
    return Placed(hit, lines + data.count(b"\n", 0, hit.offset) + 1, column)
