"""All randomness of the service, from the kernel: ids, request ids, raw bytes."""

from __future__ import annotations

import os
import re

from omnilab.clock import Clock

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # base62
_POOL_BYTES = 4096
_RANDOM_PARTS = re.compile("(.{3})(.)(.{3})(.{12})")
_VARIANTS = {f"{value:x}": "89ab"[value & 3] for value in range(16)}
_ID_WIDTH = 22  # 62^22 > 2^130


def random_bytes(count: int) -> bytes:
    """`count` bytes from the kernel's generator."""
    return os.urandom(count)


def random_text(width: int) -> str:
    """`width` independent, uniformly distributed base62 characters."""
    text = ""
    while len(text) < width:
        # Bytes from 248 = 4 × 62 on are thrown away: kept, they would make eight characters likelier than the others.
        text += "".join(ALPHABET[byte % 62] for byte in os.urandom(2 * width) if byte < 248)
    return text[:width]


def new_id(prefix: str) -> str:
    """A fresh typed id, such as `cli_` and 22 base62 characters (130 bits)."""
    return prefix + random_text(_ID_WIDTH)


class RequestIds:
    """Makes request ids: UUIDv7 (RFC 9562 §5.7), 48 bits of time in milliseconds and 74 random bits.

    Random bytes are drawn from the kernel by the page: one system call serves 400 ids.
    A forked process must make its own instance, or two processes would hand out the same ids.
    """

    __slots__ = ("_clock", "_tails")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tails: list[str] = []

    def __call__(self) -> str:
        if not self._tails:
            self._tails = _random_tails()
        time = f"{self._clock.now_ms():012x}"
        return f"{time[:8]}-{time[8:]}{self._tails.pop()}"


def _random_tails() -> list[str]:
    """What follows the time in a UUIDv7: version 7, variant 10 (a digit of 8, 9, a, b), and 74 random bits."""
    parts = _RANDOM_PARTS.findall(os.urandom(_POOL_BYTES).hex())
    return [f"-7{first}-{_VARIANTS[digit]}{second}-{third}" for first, digit, second, third in parts]
