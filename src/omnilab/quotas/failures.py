"""Counting failed authentications of strangers, in a fixed amount of memory.

Promises that a right credential is never refused here, and that no number of addresses or made-up client ids makes
the state grow. An address and a client id fall into one of a fixed number of counters, by a hash with a salt of this
process, so that nobody can choose whom they share one with. Sharing one can only turn a wrong secret's 401 into 429.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil

WINDOW_SECONDS = 60
NAMED_IN_SUMMARY = 20
_PAIR_COUNTERS = 65_536
_ADDRESS_COUNTERS = 16_384


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a wrong secret is answered: its own 401, or 429 when `refused`."""

    refused: bool
    retry_after_seconds: int = 0


ALLOWED = Verdict(refused=False)


@dataclass(frozen=True, slots=True)
class FloodSummary:
    """The refusals by 429 of one minute, which are recorded together and not singly.

    Times are milliseconds since 1970 UTC. addresses, client_ids: the most frequent, with their counts; client ids are
    claimed, not proved.
    """

    started_at: int
    ended_at: int
    refused: int
    addresses: dict[str, int]
    client_ids: dict[str, int]


class FailureCounters:
    """A fixed number of counters, each of one minute."""

    __slots__ = ("_counts", "_minutes")

    def __init__(self, size: int) -> None:
        self._counts = array("I", bytes(4 * size))
        self._minutes = array("I", bytes(4 * size))

    def add(self, number: int, minute: int) -> int:
        """Count one more and return how many there are in this minute."""
        slot = number % len(self._counts)
        if self._minutes[slot] != minute:
            self._minutes[slot], self._counts[slot] = minute, 0
        self._counts[slot] += 1
        return self._counts[slot]

    def take(self, number: int, minute: int, at_most: int) -> int:
        """Take back up to `at_most` of this minute and return how many those were."""
        slot = number % len(self._counts)
        if self._minutes[slot] != minute:
            return 0
        taken = min(self._counts[slot], at_most)
        self._counts[slot] -= taken
        return taken


class FailedAuthentications:
    """The limits on wrong secrets, for one address and client and for one address."""

    def __init__(self, *, per_client: int | None, per_address: int | None, salt: bytes) -> None:
        self._per_client = per_client
        self._per_address = per_address
        self._salt = salt
        self._pairs = FailureCounters(_PAIR_COUNTERS)
        self._addresses = FailureCounters(_ADDRESS_COUNTERS)
        self._last_minute = -1
        self._flood: Flood | None = None

    @property
    def is_on(self) -> bool:
        return self._per_client is not None or self._per_address is not None

    def count(self, address: str, client_id: str, *, now: float) -> tuple[tuple[int, int], float]:
        """Count a wrong secret. Returns how many this minute has for its address and client, and for its address, and
        the seconds until the minute is over. `now`: monotonic seconds."""
        minute = int(now // WINDOW_SECONDS) + 1  # 0 is "never"
        self._last_minute = minute
        by_pair = self._pairs.add(self._number(address, client_id), minute)
        by_address = self._addresses.add(self._number(address, ""), minute)
        return (by_pair, by_address), minute * WINDOW_SECONDS - now

    def judge(
        self, who: tuple[str, str], counts: tuple[int, int], *, seconds_left: float, now: float, now_ms: int
    ) -> Verdict:
        """What a wrong secret is answered. who: address and client id; counts: as `count` returns them; `now`:
        monotonic seconds, `now_ms`: wall clock, for the summary."""
        by_pair, by_address = counts
        too_many = self._per_client is not None and by_pair > self._per_client
        too_many = too_many or (self._per_address is not None and by_address > self._per_address)
        if not too_many:
            return ALLOWED
        if self._flood is None:
            self._flood = Flood(now, now_ms)
        self._flood.add(*who, now_ms)
        return Verdict(refused=True, retry_after_seconds=max(1, ceil(seconds_left)))

    def forgive(self, address: str, client_id: str, *, now: float) -> None:
        """Take back the failures of an address and client: its right secret came.

        So a library that tries Basic first and the body second is not punished. Only this pair's own failures are
        taken back, or one valid client would clear an address for guessing at others.
        """
        minute = int(now // WINDOW_SECONDS) + 1
        if minute != self._last_minute:
            return
        taken = self._pairs.take(self._number(address, client_id), minute, 2**32 - 1)
        if taken:
            self._addresses.take(self._number(address, ""), minute, taken)

    def take_flood(self, *, now: float, finished_only: bool) -> FloodSummary | None:
        """The summary of a minute of refusals, once it is over (or at once), and only once."""
        flood = self._flood
        if flood is None or (finished_only and now < flood.opened_at + WINDOW_SECONDS):
            return None
        self._flood = None
        return flood.summary()

    def _number(self, address: str, client_id: str) -> int:
        text = f"{address}\n{client_id}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(text, digest_size=8, key=self._salt).digest(), "big")


class Flood:
    """What is kept of one minute of refusals: the count, and a bounded number of names."""

    __slots__ = ("opened_at", "_addresses", "_client_ids", "_last_ms", "_refused", "_started_ms")

    def __init__(self, opened_at: float, started_ms: int) -> None:
        self.opened_at = opened_at
        self._started_ms = started_ms
        self._last_ms = started_ms
        self._refused = 0
        self._addresses: Counter[str] = Counter()
        self._client_ids: Counter[str] = Counter()

    def add(self, address: str, client_id: str, now_ms: int) -> None:
        self._refused += 1
        self._last_ms = now_ms
        for names, name in ((self._addresses, address), (self._client_ids, client_id[:255])):
            if name in names or len(names) < 10 * NAMED_IN_SUMMARY:
                names[name] += 1

    def summary(self) -> FloodSummary:
        return FloodSummary(
            started_at=self._started_ms,
            ended_at=self._last_ms,
            refused=self._refused,
            addresses=dict(self._addresses.most_common(NAMED_IN_SUMMARY)),
            client_ids=dict(self._client_ids.most_common(NAMED_IN_SUMMARY)),
        )
