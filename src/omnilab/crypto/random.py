"""All randomness of the service, from the kernel: ids, request ids, raw bytes."""

from __future__ import annotations

import os

from omnilab.clock import Clock
from omnilab.crypto import base62

_POOL_BYTES = 4096
_ID_WIDTH = 22  # 62^22 > 2^130


def random_bytes(count: int) -> bytes:
    """`count` bytes from the kernel's generator."""
    return os.urandom(count)


def random_text(width: int) -> str:
    """`width` independent, uniformly distributed base62 characters."""
    text = ""
    while len(text) < width:
        # Bytes from 248 = 4 × 62 on are thrown away: kept, they would make eight characters likelier than the others.
        text += "".join(base62.ALPHABET[byte % 62] for byte in os.urandom(2 * width) if byte < 248)
    return text[:width]


def new_id(prefix: str) -> str:
    """A fresh typed id, such as `cli_` and 22 base62 characters (130 bits)."""
    return prefix + random_text(_ID_WIDTH)


class RequestIds:
    """Makes request ids: UUIDv7 (RFC 9562 §5.7), 48 bits of time in milliseconds and 74 random bits.

    Random bytes are drawn from the kernel by the page: one system call serves 400 ids.
    A forked process must make its own instance, or two processes would hand out the same ids.
    """

    __slots__ = ("_clock", "_pool", "_offset")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pool = ""
        self._offset = 0

    def __call__(self) -> str:
        offset = self._offset
        if offset + 20 > len(self._pool):
            self._pool = os.urandom(_POOL_BYTES).hex()
            offset = 0
        self._offset = offset + 20
        pool = self._pool
        time = f"{self._clock.now_ms():012x}"
        # The variant's two bits are 10: the digit is one of 8, 9, a, b.
        variant = "89ab"[int(pool[offset + 3], 16) & 3]
        return (
            f"{time[:8]}-{time[8:]}-7{pool[offset : offset + 3]}"
            f"-{variant}{pool[offset + 4 : offset + 7]}-{pool[offset + 8 : offset + 20]}"
        )
