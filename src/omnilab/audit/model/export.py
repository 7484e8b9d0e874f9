"""The form of an export: JSON lines that hold together without database and secret. Pure: bytes in, findings out.

Each line begins with a hash over all lines up to and including itself, so that the first line that was changed,
removed, moved or put in is the one that no longer fits. Whoever makes all hashes anew is found by the seals: every
thousand lines and at the end the hash is signed (Ed25519), and a public key is enough to check it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

FORMAT = "omnilab-audit-export-1"
SEALED_LINES = 1000
_HEAD, _TAIL = b'{"hash":"', b'",'
_CONTENT = len(_HEAD) + 64 + len(_TAIL)
_FINDINGS_KEPT = 100
_START = hashlib.sha256(FORMAT.encode()).digest()
# What opens a line of its own kind, so that a signature for one purpose is none for another.
_STATEMENT = b"omnilab audit export\0"


class Signer(Protocol):
    """Signs bytes."""

    def sign(self, statement: bytes) -> str: ...


class SignatureVerifier(Protocol):
    """Checks what a `Signer` made."""

    def verifies(self, signature: str, statement: bytes) -> bool: ...


class Lines:
    """Makes the lines of one export, in order."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._running = _START
        self.count = 0

    def line(self, kind: str, **members: Any) -> bytes:
        """The next line with its line break. A thousandth line is followed by its seal."""
        made = self._chained({"kind": kind, **members})
        if self.count % SEALED_LINES == SEALED_LINES - 1:
            made += self.seal("seal")
        return made

    def seal(self, kind: str, **members: Any) -> bytes:
        """A line that signs all before it, and its own `members`."""
        content = {"kind": kind, **members}
        signature = self._signer.sign(_statement(self._running, content))
        return self._chained(content | {"signature": signature})

    def _chained(self, content: Mapping[str, Any]) -> bytes:
        body = msgspec.json.encode(content)
        self._running = hashlib.sha256(self._running + body).digest()
        self.count += 1
        return b"%b%b%b%b\n" % (_HEAD, self._running.hex().encode(), _TAIL, body[1:])


def _statement(running: bytes, content: Mapping[str, Any]) -> bytes:
    return _STATEMENT + running + msgspec.json.encode(content)


@dataclass(frozen=True, slots=True)
class Fault:
    """A place of the file that does not hold: lines `first` to `last`, from 1."""

    first: int
    last: int
    meaning: str
    chain_id: str | None = None
    position: int | None = None


@dataclass(slots=True)
class Examination:
    """What an export said and whether it holds. `ends`: where each chain stood, as (position, link in hex)."""

    lines: int = 0
    records: int = 0
    chains: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)
    ends: dict[str, tuple[int, str]] = field(default_factory=dict)
    cuts: dict[str, tuple[int, str]] = field(default_factory=dict)
    links: dict[tuple[str, int], str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0

    @property
    def intact(self) -> bool:
        """Whether the file is as it was written, and what was written was intact."""
        return not self.faults and bool(self.end.get("intact"))

    def add(self, fault: Fault) -> None:
        """Keep a fault, as many as a person will read; the rest is counted."""
        if len(self.faults) < _FINDINGS_KEPT:
            self.faults.append(fault)
        else:
            self.more_faults += 1


class Examiner:
    """Reads the lines of an export once. `earlier`: the chain ends of an export that was kept from before."""

    def __init__(self, verifier: SignatureVerifier, earlier: Mapping[str, tuple[int, str]] | None = None) -> None:
        self._verifier = verifier
        self._earlier = dict(earlier or {})
        self._running = _START
        self._sealed = 0  # the last line that a good signature covers
        self._chain: str | None = None
        self._position = 0
        self.found = Examination()
        self._readers: dict[str, Callable[[dict[str, Any]], None]] = {
            "begin": self._read_begin,
            "chain": self._read_chain,
            "record": self._read_record,
            "head": lambda _: None,
            "seal": lambda _: None,
            "end": self._read_end,
        }

    def examine(self, lines: Iterable[bytes]) -> Examination:
        """All findings about these lines."""
        found = self.found
        for line in lines:
            found.lines += 1
            self._take(line)
        if found.end.get("line") != found.lines:
            found.add(Fault(found.lines, found.lines, "the end is cut off, or something was put in after it"))
        for chain_id, (position, link) in self._earlier.items():
            if not self._still_holds(chain_id, position, link):
                meaning = "the earlier export saw this chain up to here; here it is gone, shorter or another"
                found.add(Fault(found.lines, found.lines, meaning, chain_id, position))
        return found

    def _still_holds(self, chain_id: str, position: int, link: str) -> bool:
        cut = self.found.cuts.get(chain_id)
        if cut is not None and cut[0] >= position:
            return cut[0] > position or cut[1] == link
        return self.found.links.get((chain_id, position)) == link

    def _take(self, line: bytes) -> None:
        stated, body = line[len(_HEAD) : len(_HEAD) + 64], b"{" + line[_CONTENT:].rstrip(b"\n")
        before, self._running = self._running, hashlib.sha256(self._running + body).digest()
        if line[:_CONTENT] != _HEAD + self._running.hex().encode() + _TAIL or not line.endswith(b"\n"):
            self._fault("changed, removed, moved or put in: the line does not fit those before it")
            self._running = _hash_of(stated) or self._running
        try:
            content = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            self._fault("not a line of an export")
            return
        kind = content.get("kind")
        if kind in ("seal", "end"):
            self._check_seal(before, content)
        try:
            self._readers[str(kind)](content)
        except (KeyError, TypeError, ValueError):
            self._fault("not a line of an export")
        if self.found.lines == 1 and content.get("format") != FORMAT:
            self._fault(f"the first line is not the beginning of an export ({FORMAT})")

    def _check_seal(self, before: bytes, content: dict[str, Any]) -> None:
        signature, signed = content.get("signature"), {k: v for k, v in content.items() if k != "signature"}
        if isinstance(signature, str) and self._verifier.verifies(signature, _statement(before, signed)):
            self._sealed = self.found.lines
            return
        meaning = "not signed with this key: something in these lines was changed, or another key made the export"
        self.found.add(Fault(self._sealed + 1, self.found.lines, meaning))

    def _read_begin(self, content: dict[str, Any]) -> None:
        self.found.about = content

    def _read_chain(self, content: dict[str, Any]) -> None:
        self._chain, self._position = str(content["chain_id"]), 0
        self.found.chains += 1
        cut = content["cut"]
        if cut is not None:
            self._position = int(cut["position"])
            self.found.cuts[self._chain] = self.found.ends[self._chain] = (self._position, str(cut["link"]))

    def _read_record(self, content: dict[str, Any]) -> None:
        self.found.records += 1
        chain_id, link = str(content["chain_id"]), str(content["link"])
        self._position = int(content["position"])
        self.found.ends[chain_id] = (self._position, link)
        if chain_id in self._earlier and self._earlier[chain_id][0] == self._position:
            self.found.links[chain_id, self._position] = link

    def _read_end(self, content: dict[str, Any]) -> None:
        self.found.end = content | {"line": self.found.lines}

    def _fault(self, meaning: str) -> None:
        self.found.add(Fault(self.found.lines, self.found.lines, meaning, self._chain, self._position))


def _hash_of(text: bytes) -> bytes | None:
    try:
        return bytes.fromhex(text.decode())
    except ValueError:
        return None


def faults_of(found: Examination) -> Iterator[dict[str, Any]]:
    """The faults as they are printed."""
    for fault in found.faults:
        yield {
            "first_line": fault.first,
            "last_line": fault.last,
            "meaning": fault.meaning,
            "chain_id": fault.chain_id,
            "position": fault.position or None,
        }
