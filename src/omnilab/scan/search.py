"""Finding client secrets in bytes: by their prefix, then by their checksum, so that none is invented. Pure.

A secret is looked for as it is, in UTF-16, and inside base64 (HTTP Basic headers, Kubernetes secrets), whose three
alignments turn the prefix into three other texts. Plain substring searches, because they run at memory speed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from omnilab.crypto.client_secret import (
    CHECKSUM_WIDTH,
    ENVIRONMENT_TAGS,
    PREFIX,
    TOTAL_WIDTH,
    checksum,
    secret_environment,
)

# No hit reaches further than this from where its search text begins, to either side.
REACH_BYTES = 2048
_SECRET = re.compile(rb"omni_(?:%b)_[0-9A-Za-z]{49}" % b"|".join(tag.encode() for tag in ENVIRONMENT_TAGS.values()))
_PLAIN = PREFIX.encode()
_WIDE = PREFIX.encode("utf-16-le")
_BASE64_RUN = re.compile(rb"[0-9A-Za-z+/_-]+")
_SHOWN_CHARACTERS = 4


def _alignments() -> tuple[bytes, ...]:
    """What base64 makes of the prefix after 0, 1 and 2 other bytes, less the characters that the others share."""
    texts = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + _PLAIN).rstrip(b"=")
        shared_at_end = (before + len(_PLAIN)) % 3 != 0
        texts.append(encoded[(0, 2, 3)[before] : len(encoded) - shared_at_end])
    return tuple(texts)


_ENCODED = _alignments()


@dataclass(frozen=True, slots=True)
class Hit:
    """One secret in some bytes. `offset` and `width`: where its text, or the text it is encoded in, stands."""

    offset: int
    width: int
    environment: str
    masked: str
    fingerprint: str
    encoding: str  # plain | utf-16 | base64
    text: str

    def __repr__(self) -> str:
        return f"Hit({self.masked!r} at {self.offset})"


def search(data: bytes) -> Iterator[Hit]:
    """All secrets in these bytes, those of one encoding in order. Never raises."""
    yield from _plain(data)
    for offset in _places(data, _WIDE):
        text = data[offset : offset + 2 * TOTAL_WIDTH].decode("utf-16-le", "replace")
        if _is_secret(text):
            yield _hit(text, offset, 2 * TOTAL_WIDTH, "utf-16")
    seen: set[tuple[int, str]] = set()
    for needle in _ENCODED:
        for offset in _places(data, needle):
            for hit in _in_base64(data, offset):
                if (hit.offset, hit.text) not in seen:
                    seen.add((hit.offset, hit.text))
                    yield hit


def masked_text(text: str) -> str:
    """A text with every secret in it masked."""
    return _SECRET.sub(lambda found: _masked(found[0].decode()).encode(), text.encode("utf-8", "replace")).decode()


def _places(data: bytes, needle: bytes) -> Iterator[int]:
    offset = data.find(needle)
    while offset >= 0:
        yield offset
        offset = data.find(needle, offset + 1)


def _plain(data: bytes) -> Iterator[Hit]:
    # One cannot begin within another: `_` is no character of the random part.
    for found in _SECRET.finditer(data):
        if _is_secret(text := found[0].decode()):
            yield _hit(text, found.start(), TOTAL_WIDTH, "plain")


def _in_base64(data: bytes, offset: int) -> Iterator[Hit]:
    """The secrets in the run of base64 around this place; the run is cut where it goes on for long."""
    begin = offset
    floor = max(0, offset - REACH_BYTES // 4)
    while begin > floor and _BASE64_RUN.match(data[begin - 1 : begin]):
        begin -= 1
    found = _BASE64_RUN.match(data, begin, offset + REACH_BYTES // 4)
    if found is None:
        return
    run = found[0].replace(b"-", b"+").replace(b"_", b"/")
    for skipped in range(4):
        part = run[skipped:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        try:
            decoded = base64.b64decode(part + b"=" * (-len(part) % 4))
        except binascii.Error:
            continue
        for hit in _plain(decoded):
            at = begin + skipped + hit.offset * 4 // 3
            yield _hit(hit.text, at, TOTAL_WIDTH * 4 // 3, "base64")


def _is_secret(text: str) -> bool:
    if not text.isascii() or len(text) != TOTAL_WIDTH or secret_environment(text) is None:
        return False
    return checksum(text[:-CHECKSUM_WIDTH]) == text[-CHECKSUM_WIDTH:]


def _hit(text: str, offset: int, width: int, encoding: str) -> Hit:
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]  # of 256 random bits: tells nothing
    return Hit(offset, width, str(secret_environment(text)), _masked(text), fingerprint, encoding, text)


def _masked(text: str) -> str:
    return text[: len("omni_dev_") + _SHOWN_CHARACTERS] + "…"
