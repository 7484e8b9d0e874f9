"""Proving that no record was changed, removed, reordered or put in, as far as the chains and checkpoints reach.

Safe beside writers: a chain that grows while it is walked is walked on to its new end. Memory is constant in the
number of records. What was lost after the last checkpoint kept outside the database cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from omnilab.audit.model.chain import ChainKey
from omnilab.audit.model.record import request_time, rfc3339
from omnilab.audit.model.walk import CHAIN_MISSING, HEAD, MISSING, PROBLEMS, ChainWalk, Cut, Finding
from omnilab.audit.store.chains import PAGE_ROWS, ChainedRow, ChainHead, Chains
from omnilab.errors import UnavailableError

_FINDINGS_KEPT = 100
_FIRST = -(2**63)


@dataclass(slots=True)
class Verification:
    """What was walked and what was found."""

    chains: int = 0
    records: int = 0
    checkpoints: int = 0
    removed_by_retention: int = 0
    findings: list[Finding] = field(default_factory=list)
    more_findings: int = 0

    @property
    def intact(self) -> bool:
        return not self.findings

    def add(self, findings: list[Finding]) -> None:
        """Keep the findings, as many as a person will read; the rest is counted."""
        room = _FINDINGS_KEPT - len(self.findings)
        self.findings += findings[:room]
        self.more_findings += len(findings[room:])

    def document(self) -> dict[str, Any]:
        """What `audit verify --json` prints."""
        return {
            "intact": self.intact,
            "chains": self.chains,
            "records": self.records,
            "checkpoints": self.checkpoints,
            "removed_by_retention": self.removed_by_retention,
            "findings": [_present(finding) for finding in self.findings],
            "more_findings": self.more_findings,
        }


class Listener(Protocol):
    """Sees each chain as it is walked: the export, which so writes down exactly what was verified."""

    def begin_chain(self, chain_id: str, started_at: int | None, cut: Cut | None) -> None: ...

    def take_rows(self, rows: Sequence[ChainedRow]) -> None: ...

    def end_chain(self, head: ChainHead | None) -> None: ...


class Verifier:
    """Walks every chain of the database, then what the checkpoints saw."""

    def __init__(
        self, chains: Chains, key: ChainKey, *, advance: Callable[[int], None], listener: Listener | None = None
    ) -> None:
        self._listener = listener
        self._cuts: dict[str, Cut] = {}
        self._chains = chains
        self._key = key
        self._advance = advance
        self._result = Verification()
        self._seen: dict[str, tuple[int, str]] = {}
        self._gaps: dict[str, list[tuple[int, int]]] = {}

    async def verify(self) -> Verification:
        """Raises UnavailableError when the database does not answer."""
        heads: dict[str, int | None] = {}
        for each in await self._chains.list_heads():
            if each.chain_id in heads:
                self._result.add([Finding(HEAD, str(each.chain_id), each.head_position, each.head_position)])
            heads[each.chain_id] = each.started_at
        for chain_id in await self._chains.list_recorded_chain_ids():
            if chain_id not in heads:
                head = await self._chains.find_head(chain_id)  # begun after the heads were read?
                heads[chain_id] = None if head is None else head.started_at
        for chain_id, started_at in heads.items():
            self._take(await self._walk(chain_id, started_at))
        for chain_id, (position, link) in self._seen.items():
            if not self._is_in_a_gap(chain_id, position):
                await self._look_up(chain_id, position, link)
        return self._result

    async def _walk(self, chain_id: str, started_at: int | None) -> ChainWalk:
        while True:
            cut = await self._chains.find_cut(chain_id)
            walk = await self._walk_from(cut, chain_id, started_at)
            if not walk.findings or await self._chains.find_cut(chain_id) == cut:
                break
            # Retention took records away under our feet: what is missing is not missing.
            if self._listener is not None:
                raise UnavailableError("retention cut a chain while it was read: run the command again")
        if cut is not None:
            self._cuts[chain_id] = cut
            self._result.removed_by_retention += cut.position
        return walk

    async def _walk_from(self, cut: Cut | None, chain_id: str, started_at: int | None) -> ChainWalk:
        walk = ChainWalk(self._key, chain_id, started_at, cut)
        if self._listener is not None:
            self._listener.begin_chain(chain_id, started_at, cut)
        walk.add_misplaced(await self._chains.list_misplaced(chain_id))
        first = _FIRST
        while True:
            first = await self._walk_on(walk, first)
            head = await self._chains.find_head(chain_id)
            if head is None:
                walk.lack_head()
                break
            if head.head_position <= walk.position or not await self._chains.list_rows(chain_id, first):
                walk.end(
                    head_position=head.head_position,
                    head_at=head.head_at,
                    head_seal=head.head_seal,
                    started_at=head.started_at,
                )
                break
        if self._listener is not None:
            self._listener.end_chain(head)
        return walk

    async def _walk_on(self, walk: ChainWalk, first: int) -> int:
        """Walk to the end as it is now; returns the first position not yet read."""
        while True:
            rows = await self._chains.list_rows(walk.chain_id, first)
            full = len(rows) == PAGE_ROWS
            if full and rows[0].position != rows[-1].position:
                # Others may claim the last position too: they must be judged together.
                rows = [row for row in rows if row.position != rows[-1].position]
            walk.feed(rows)
            if self._listener is not None:
                self._listener.take_rows(rows)
            self._result.records += len(rows)
            self._advance(len(rows))
            if rows:
                first = rows[-1].position + 1
            if not full:
                return first

    def _take(self, walk: ChainWalk) -> None:
        self._result.chains += 1
        self._result.checkpoints += walk.checkpoints
        self._result.add(walk.findings)
        self._gaps[walk.chain_id] = [(each.position, each.last) for each in walk.findings if each.problem == MISSING]
        for chain_id, place in walk.seen.items():
            # The furthest one is enough: the links cover all before it.
            self._seen[chain_id] = max(place, self._seen.get(chain_id, (0, "")))

    def _is_in_a_gap(self, chain_id: str, position: int) -> bool:
        """Whether it is known already that the record at this place is gone."""
        return any(first <= position <= last for first, last in self._gaps.get(chain_id, ()))

    async def _look_up(self, chain_id: str, position: int, link: str) -> None:
        cut = self._cuts.get(chain_id)
        if cut is not None and position <= cut.position:
            # Of what retention let go of, only the last link is still known.
            if position == cut.position and cut.link != bytes.fromhex(link):
                self._result.add([Finding(CHAIN_MISSING, chain_id, position, position)])
            return
        rows = [row for row in await self._chains.list_rows(chain_id, position) if row.position == position]
        if not any(row.link == bytes.fromhex(link) for row in rows):
            self._result.add([Finding(CHAIN_MISSING, chain_id, position, position)])


def _present(finding: Finding) -> dict[str, Any]:
    at = None if finding.request_id is None else request_time(finding.request_id)
    return {
        "problem": finding.problem,
        "meaning": PROBLEMS[finding.problem],
        "chain_id": finding.chain_id,
        "position": finding.position,
        "last_position": finding.last,
        "request_id": finding.request_id,
        "occurred_at": None if at is None else rfc3339(at),
    }
