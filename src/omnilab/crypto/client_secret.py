"""Client secrets: their text, their checksum and the only form in which they are stored.

A secret is `omni_<env>_<43 base62 characters><6 characters of checksum>`. The checksum lets anyone tell a mistyped
or cut-off secret without a look-up; it is no protection and needs none, for 43 random characters carry 256 bits.
"""

from __future__ import annotations

import enum
import zlib

from omnilab.crypto.keyed_digest import keyed_digest
from omnilab.crypto.random import ALPHABET, random_text
from omnilab.crypto.secret import Secret

PREFIX = "omni_"
ENVIRONMENT_TAGS = {"development": "dev", "staging": "stg", "production": "prd"}
_ENVIRONMENTS = {tag: environment for environment, tag in ENVIRONMENT_TAGS.items()}
RANDOM_WIDTH = 43
CHECKSUM_WIDTH = 6
_HEAD_WIDTH = len("omni_dev_")
_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
TOTAL_WIDTH = _HEAD_WIDTH + RANDOM_WIDTH + CHECKSUM_WIDTH


class Shape(enum.Enum):
    """What the text of a presented secret tells by itself."""

    WELL_FORMED = "well_formed"
    LEGACY = "legacy"
    MISTYPED = "mistyped"
    CUT_OFF = "cut_off"
    OTHER_ENVIRONMENT = "other_environment"


def checksum(text: str) -> str:
    """CRC-32 (as zlib computes it) of the text before it, as 6 base62 characters."""
    number = zlib.crc32(text.encode())
    return _PAIRS[number // 62**4] + _PAIRS[number // 62**2 % 62**2] + _PAIRS[number % 62**2]


def new_client_secret(environment: str) -> Secret:
    """A fresh secret for an environment; at least 256 random bits."""
    head = f"{PREFIX}{ENVIRONMENT_TAGS[environment]}_{random_text(RANDOM_WIDTH)}"
    return Secret(head + checksum(head))


def secret_environment(text: str) -> str | None:
    """The environment that the text of a secret names, or None."""
    if text.startswith(PREFIX) and text[_HEAD_WIDTH - 1 : _HEAD_WIDTH] == "_":
        return _ENVIRONMENTS.get(text[len(PREFIX) : _HEAD_WIDTH - 1])
    return None


def read_shape(text: str, environment: str) -> Shape:
    """Tell what the text says by itself: no look-up, so the answer may be told to a stranger.

    A text that does not begin `omni_` is taken for the secret of an earlier system.
    """
    if not text.startswith(PREFIX):
        return Shape.LEGACY
    named = secret_environment(text)
    if named is not None and len(text) < TOTAL_WIDTH:
        return Shape.CUT_OFF
    if named is None or len(text) != TOTAL_WIDTH or not text.isascii():
        return Shape.CUT_OFF if len(text) < _HEAD_WIDTH else Shape.MISTYPED
    if checksum(text[:-CHECKSUM_WIDTH]) != text[-CHECKSUM_WIDTH:]:
        return Shape.MISTYPED
    return Shape.WELL_FORMED if named == environment else Shape.OTHER_ENVIRONMENT


def secret_digest(pepper: bytes, client_id: str, secret: str) -> bytes:
    """The only stored form of a secret: HMAC-SHA-256 under the pepper, bound to its client.

    One keyed hash is enough because the secret is random (docs/adr/0003). Bound to the client, an unknown client
    and a wrong secret are the same miss.
    """
    return keyed_digest(pepper, f"{client_id}\0{secret}".encode("utf-8", "surrogatepass"))
