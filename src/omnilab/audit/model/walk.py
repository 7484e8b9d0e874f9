"""Walking one chain: is every record where and as it was written? Pure: rows in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Protocol

import msgspec

from omnilab.audit.model.chain import ChainKey, key_text
from omnilab.audit.model.record import decode

MISSING = "missing"
CHANGED = "changed"
EXTRA = "extra"
HEAD = "head"
CHAIN_MISSING = "chain_missing"
CUT = "cut"
PROBLEMS = {
    MISSING: "removed: the chain has a gap here",
    CHANGED: "does not fit the chain: changed, moved or put in by someone without the key",
    EXTRA: "put in: another record already holds this place",
    HEAD: "the chain's head does not hold: changed, rewound or removed, or the chain's end was cut off",
    CUT: "the mark that retention let go of the records before here does not hold: changed, or put in without the key",
    CHAIN_MISSING: "a checkpoint saw this chain up to here, but it is gone, cut off, or another stands in its place",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A place where the record is not what was written. `position` counts from 1 in its chain; `last` ends a gap."""

    problem: str
    chain_id: str
    position: int
    last: int
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """Where retention cut a chain: the last record it let go of. `seal` is `ChainKey.seal_cut` of the rest."""

    position: int
    link: bytes
    seal: bytes


class ChainedRow(Protocol):
    """A record as the chain sees it."""

    @property
    def position(self) -> int: ...
    @property
    def request_id(self) -> str: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def link(self) -> object: ...  # bytes, unless someone put another type there


class ChainWalk:
    """One chain, walked from its first record, or from the cut that retention made, to its last.

    `started_at` is None where the chain has no head.
    """

    def __init__(self, key: ChainKey, chain_id: str, started_at: int | None, cut: Cut | None = None) -> None:
        self._key = key
        self.chain_id = chain_id
        self.position = 0
        self.findings: list[Finding] = []
        # Where each chain stood, as the newest fitting checkpoint of this chain saw it: (position, link).
        self.seen: dict[str, tuple[int, str]] = {}
        self.checkpoints = 0
        # What may be the link before the next record; none = unknown, then its own link cannot be judged.
        self._links: tuple[bytes, ...] = () if started_at is None else (key.origin(chain_id, started_at),)
        if cut is not None:
            self._begin_after(cut)

    def _begin_after(self, cut: Cut) -> None:
        if cut.seal == self._key.seal_cut(self.chain_id, cut.position, cut.link):
            self.position, self._links = cut.position, (cut.link,)
        else:
            self._found(CUT, cut.position)

    def feed(self, rows: Iterable[ChainedRow]) -> None:
        """Take the next records, in the order of their positions; all that claim one position in one call."""
        for position, claimants in groupby(rows, attrgetter("position")):
            self._step(position, list(claimants))

    def end(self, *, head_position: int, head_at: int, head_seal: bytes, started_at: int) -> None:
        """Hold the walked end against the head."""
        if head_position > self.position:
            self._found(MISSING, self.position + 1, last=head_position)
            return
        seals = (self._key.seal(self.chain_id, started_at, (head_position, head_at, link)) for link in self._links)
        if head_position < self.position or head_seal not in seals:
            self._found(HEAD, head_position)

    def lack_head(self) -> None:
        """Nothing says where this chain ends."""
        self._found(HEAD, self.position)

    def add_misplaced(self, request_ids: Iterable[str]) -> None:
        """Take records whose position is no number."""
        for request_id in request_ids:
            self._found(EXTRA, 0, request_id=request_id)

    def _step(self, position: int, claimants: Sequence[ChainedRow]) -> None:
        if position <= self.position:
            for row in claimants:
                self._found(EXTRA, position, request_id=row.request_id)
            return
        if position > self.position + 1:
            self._found(MISSING, self.position + 1, last=position - 1)
            self._links = ()
        self.position = position
        row = claimants[0]
        if len(claimants) > 1:
            row = next((each for each in claimants if self._fits(each)), row)
            for other in claimants:
                if other is not row:
                    self._found(EXTRA, position, request_id=other.request_id)
        self._take(row)

    def _take(self, row: ChainedRow) -> None:
        stored = (row.link,) if isinstance(row.link, bytes) else ()
        if self._fits(row):
            self._links = stored
            self._take_checkpoint(row)
        else:
            self._found(CHANGED, row.position, request_id=row.request_id)
            # Either its text was changed and its link is the one made first, or its link was: the next record tells.
            # So three candidates at most go on: more would make a wholly changed chain slow to walk.
            made = self._made_links(row)
            self._links = (*stored, made[0], *made[1:][-1:])

    def _fits(self, row: ChainedRow) -> bool:
        return not self._links or row.link in self._made_links(row)

    def _made_links(self, row: ChainedRow) -> list[bytes]:
        # Key columns of another type than text are written as `b'…'` here, which no link was made of.
        columns = key_text(row.request_id, row.tenant_id, row.outcome)
        return [self._key.link(previous, columns, row.body) for previous in self._links]

    def _take_checkpoint(self, row: ChainedRow) -> None:
        if row.outcome != "checkpoint":
            return
        self.checkpoints += 1
        try:
            details = decode(row.body).details
        except msgspec.DecodeError:
            return
        for chain_id, place in details.items():
            position, _, link = str(place).partition(":")
            self.seen[chain_id] = (int(position), link)

    def _found(self, problem: str, position: int, *, last: int | None = None, request_id: str | None = None) -> None:
        request_id = None if request_id is None else str(request_id)
        self.findings.append(Finding(problem, str(self.chain_id), position, last or position, request_id))
