"""Spoiling inputs: from a right one, one that a reader may stumble over."""

from __future__ import annotations

import random

# What has confused readers before.
_WORDS = (
    b"%00", b"%", b"%zz", b"%C0%AE", b"+", b"&", b"=", b";", b":", b"::", b",", b" ", b"\t", b"\r\n", b"\n", b"\x00",
    b"\xff", b"\xc3\xa4", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]",
    b"null", b"true", b"1e999", b"NaN", b"-0", b".", b"..", b"=", b"==", b"-", b"_", b"/", b"none", b"eyJ", b"e30",
    b"client_id", b"client_secret", b'"client_secret":"x"', b"client_secret=x", b"Basic ", b"Bearer ", b"A" * 70,
)  # fmt: skip


def spoiled(chance: random.Random, corpus: list[bytes]) -> bytes:
    """One input: a right one, changed in one to five places."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.randint(1, 5)):
        at = chance.randint(0, len(data))
        match chance.randint(0, 6):
            case 0 if data:
                data[at - 1] ^= 1 << chance.randint(0, 7)
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2:
                data[at:at] = chance.choice(_WORDS)
            case 3:
                data[at:at] = data[at : at + chance.randint(1, 40)]
            case 4:
                other = chance.choice(corpus)
                data[at:] = other[chance.randint(0, len(other)) :]
            case 5:
                data[at : at + 1] = bytes([chance.randint(0, 255)])
            case _:
                del data[at:]
    return bytes(data)
