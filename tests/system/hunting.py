"""Looks for secrets in what was written: any run of eight characters of what is random in them, not whole ones only.

Also found are base64 (at every alignment), hexadecimal, swapped case, and, in whatever is searched, percent-encoding.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

RUN = 8
_HEX_RUN = 16  # eight hexadecimal digits are found in any heap of them
_HEX = re.compile(rb"[0-9a-fA-F]{%d,}" % _HEX_RUN)


@dataclass(frozen=True)
class Found:
    """Where a part of which secret stands. The part itself is not told: this is printed."""

    secret: str
    place: str
    around: bytes


class Hunt:
    """Collects secrets, then looks for them."""

    def __init__(self) -> None:
        self._runs: dict[bytes, str] = {}
        self._hex_runs: dict[bytes, str] = {}

    def add(self, name: str, text: str) -> None:
        """A secret that is text: only its random part, without prefix."""
        plain = text.encode()
        for form in (plain, plain.swapcase(), plain.lower(), plain.upper()):
            self._take(name, form)
        self.add_bytes(name, plain)

    def add_bytes(self, name: str, secret: bytes) -> None:
        """A secret that is bytes: as it is, in base64 and in hexadecimal."""
        self._take(name, secret)
        for lead in range(3):
            encoded = base64.b64encode(b"\0" * lead + secret).rstrip(b"=")
            # The first and the last characters depend on what stands around the secret.
            inner = encoded[(lead * 8 + 5) // 6 : (lead + len(secret)) * 8 // 6]
            self._take(name, inner)
            self._take(name, inner.translate(bytes.maketrans(b"+/", b"-_")))
        digits = secret.hex().encode()
        self._hex_runs |= {digits[at : at + _HEX_RUN]: name for at in range(len(digits) - _HEX_RUN + 1)}

    def add_token(self, name: str, token: str) -> None:
        """An access token: its claims and its signature; every token's header is the same."""
        for part in token.split(".")[1:]:
            self._take(name, part.encode())
        self.add_bytes(name, token.rpartition(".")[2].encode())

    def _take(self, name: str, form: bytes) -> None:
        self._runs |= {form[at : at + RUN]: name for at in range(len(form) - RUN + 1)}

    def finds_nothing_in(self, places: Mapping[str, bytes]) -> None:
        """Raises AssertionError that tells where something was found, without what."""
        found = self.search(places)
        lines = [f"{each.secret} in {each.place}: {each.around!r}" for each in found[:30]]
        assert not found, f"{len(found)} finds\n" + "\n".join(lines)

    def search(self, places: Mapping[str, bytes]) -> list[Found]:
        """The first find of each secret at each place."""
        found: dict[tuple[str, str], Found] = {}
        for place, written in places.items():
            for readable in _readings(written):
                for secret, at in self._finds(readable):
                    around = readable[max(at - 60, 0) : at] + b"[...]" + readable[at + RUN : at + 40]
                    found.setdefault((secret, place), Found(secret, place, around))
        return list(found.values())

    def _finds(self, text: bytes) -> Iterator[tuple[str, int]]:
        runs = self._runs
        for at in range(len(text) - RUN + 1):
            if text[at : at + RUN] in runs:
                yield runs[text[at : at + RUN]], at
        for match in _HEX.finditer(text):
            digits = match.group().lower()
            for at in range(len(digits) - _HEX_RUN + 1):
                if digits[at : at + _HEX_RUN] in self._hex_runs:
                    yield self._hex_runs[digits[at : at + _HEX_RUN]], match.start() + at


def _readings(written: bytes) -> Iterator[bytes]:
    """As it is, and with percent-encoding (twice at most) taken off."""
    yield written
    for _ in range(2):
        if b"%" not in written:
            return
        written = unquote_to_bytes(written)
        yield written


def files_under(directory: Path, *, without: Iterable[Path] = ()) -> dict[str, bytes]:
    """Every file there, whatever it is: database, WAL, logs, reject files, core dumps."""
    left_out = {path.resolve() for path in without}
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.resolve() not in left_out)
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def random_part(secret: str) -> str:
    """Of a client secret: all that follows `omni_<env>_`."""
    return secret[len("omni_dev_") :]


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()
