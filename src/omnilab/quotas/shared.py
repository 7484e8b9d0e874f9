"""Windows that all workers of all nodes share: exactly the quota passes, wherever the calls come in.

All counters of a call are looked at and charged in one step on the server. What it says is kept in the worker's own
windows: they stand in when it is away, and a server that lost its memory goes on where they remember it to have stood.
Keys name nobody: they are keyed hashes, and strangers can fill only a fixed number of them.
"""

from __future__ import annotations

from collections.abc import Awaitable
from hashlib import blake2b
from typing import Protocol

from omnilab.clock import Clock
from omnilab.quotas.model import QuotaKind
from omnilab.quotas.windows import Window

_SLOTS = 65_536  # for each limit on failed authentications


class Server(Protocol):
    """What runs `charging.lua`; `omnilab.quotas.counter_server.CounterServer` is one."""

    absences: int

    @property
    def is_away(self) -> bool: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
    def ask(self, verb: str, keys: list[str], words: list[int]) -> Awaitable[list[int] | None]: ...


class SharedWindows:
    """The counters of one installation. key: 16 or more secret bytes, the same on every node."""

    def __init__(self, server: Server, clock: Clock, *, key: bytes) -> None:
        self.server = server
        self._clock = clock
        self._key = blake2b(b"quotas", key=key[:64], digest_size=32).digest()
        self._prefix = f"omnilab:{self._digest('').hex()[:12]}"

    async def charge(self, kind: QuotaKind, windows: dict[str, Window]) -> bool | None:
        """Count one call on each of these windows, or on none where one is full. Returns whether it passes.

        windows: by client and tenant id; they are told how they stand now. None: nobody answered, nothing is told.
        """
        now, words = self._clock.monotonic(), []
        for window in windows.values():
            quota, left = window.quota, window.closes_at - now
            words += [quota.amount, quota.window_seconds * 1000, window.count, max(0, int(left * 1000))]
        answer = await self.server.ask("charge", self._keys(kind, windows), words)
        if answer is None:
            return None
        self._remember(windows, answer)
        return bool(answer[0])

    async def look(self, kind: QuotaKind, windows: dict[str, Window]) -> None:
        """Tell these windows how they stand, without counting."""
        words = [window.quota.window_seconds * 1000 for window in windows.values()]
        answer = await self.server.ask("look", self._keys(kind, windows), words)
        if answer is not None:
            self._remember(windows, answer)

    async def failed(self, address: str, client_id: str) -> tuple[tuple[int, int], float] | None:
        """Count a failed authentication. Returns how many this address and client, and this address, have had in their
        minutes, and in how many seconds both of these are over. None: nobody answered."""
        answer = await self.server.ask("fail", self._failures(address, client_id), [])
        if answer is None:
            return None
        _, by_pair, pair_left, by_address, address_left = answer
        return (by_pair, by_address), max(pair_left, address_left) / 1000

    def forgive(self, address: str, client_id: str) -> None:
        """Take back the failures of an address and client. Nobody waits for it."""
        self.server.ask("forgive", self._failures(address, client_id), [])

    def _keys(self, kind: QuotaKind, windows: dict[str, Window]) -> list[str]:
        return [
            f"{self._prefix}:{kind}:{self._digest(whose).hex()}:{window.quota.window_seconds}"
            for whose, window in windows.items()
        ]

    def _failures(self, address: str, client_id: str) -> list[str]:
        texts = {"pair": f"{address}\n{client_id}", "address": address}
        slots = {name: int.from_bytes(self._digest(text), "big") % _SLOTS for name, text in texts.items()}
        return [f"{self._prefix}:failed:{name}:{slot}" for name, slot in slots.items()]

    def _remember(self, windows: dict[str, Window], answer: list[int]) -> None:
        now = self._clock.monotonic()
        for window, count, left in zip(windows.values(), answer[1::2], answer[2::2], strict=True):
            window.count = count
            window.closes_at = now + left / 1000

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=12).digest()
