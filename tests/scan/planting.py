"""A tree of files with client secrets planted in it, of any size, the same each time; and what must be found there.

Decoys look like secrets and are none: another checksum, another length, another prefix, a placeholder.
"""

from __future__ import annotations

import base64
import gzip
import io
import random
import string
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from omnilab.crypto.client_secret import ENVIRONMENT_TAGS, RANDOM_WIDTH, checksum

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FILE_BYTES = 4 << 20
_KINDS = ("plain", "utf-16", "base64", "basic", "gzip", "zip", "nested", "name")


@dataclass
class Planted:
    """The tree, and for each secret the file it is in."""

    root: Path
    secrets: dict[str, str] = field(default_factory=dict)
    decoys: list[str] = field(default_factory=list)


class Planter:
    """Plants with dice of its own, so that a tree can be made again."""

    def __init__(self, root: Path, seed: int = 5) -> None:
        self.planted = Planted(root)
        self.dice = random.Random(seed)

    def secret(self) -> str:
        head = "omni_" + self.dice.choice(list(ENVIRONMENT_TAGS.values())) + "_"
        text = head + "".join(self.dice.choices(_ALPHABET, k=RANDOM_WIDTH))
        return text + checksum(text)

    def decoy(self) -> str:
        text = self.secret()
        last = "0" if text[-1] != "0" else "1"
        return self.dice.choice(
            [
                text[:-1] + last,
                text[:-5],
                text.replace("omni_", "omnu_"),
                text.replace("_", "-"),
                text[:9] + "x" * 49,
                "omni_prd_" + "0" * 43,
                "omni_dev_<your secret>",
                text[:12] + "\n" + text[12:],
            ]
        )

    def tree(self, total_bytes: int) -> Planted:
        """Files of noise and of text, each with at most one secret; every kind of hiding place in turn."""
        number = 0
        while total_bytes > 0:
            size = min(total_bytes, _FILE_BYTES)
            noise = self._noise(size, as_text=number % 2 == 0)
            self._write(number, noise)
            total_bytes -= size
            number += 1
        return self.planted

    def _noise(self, size: int, *, as_text: bool) -> bytearray:
        if not as_text:
            return bytearray(self.dice.randbytes(size))
        line = ("".join(self.dice.choices(_ALPHABET + " _-", k=120)) + " omni_ omni_prd_\n").encode()
        return bytearray((line * (size // len(line) + 1))[:size])

    def _write(self, number: int, noise: bytearray) -> None:
        secret, decoy, kind = self.secret(), self.decoy(), _KINDS[number % len(_KINDS)]
        folder = self.planted.root / f"d{number % 7}" / f"e{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"file-{number}.bin"
        self._put(noise, f"\nkey: '{decoy}' ".encode())
        content = self._hidden(secret, kind, noise)
        if kind == "name":
            path = folder / f"{secret}.txt"
        path.write_bytes(content)
        self.planted.secrets[secret] = str(path)
        self.planted.decoys.append(decoy)

    def _hidden(self, secret: str, kind: str, noise: bytearray) -> bytes:
        text = secret.encode()
        if kind == "name":
            return bytes(noise)
        inner = {
            "utf-16": ("KEY=" + secret + "\r\n").encode("utf-16-le"),
            "base64": b"secret: " + base64.b64encode(text) + b"\n",
            "basic": b"Authorization: Basic " + base64.b64encode(b"cli_" + b"A" * self.dice.randrange(4) + b":" + text),
        }.get(kind, b'{"client_secret": "' + text + b'"}')
        self._put(noise, inner)
        if kind == "gzip":
            return gzip.compress(bytes(noise), 1)
        if kind in ("zip", "nested"):
            packed = zipped("logs/app.log", bytes(noise))
            return zipped("inner.zip", packed) if kind == "nested" else packed
        return bytes(noise)

    def _put(self, noise: bytearray, piece: bytes) -> None:
        """Over what is there; near a block's end as often as not, where a search in blocks would miss it."""
        at = self.dice.randrange(max(1, len(noise) - len(piece)))
        if self.dice.random() < 0.5 and len(noise) > _FILE_BYTES // 2:
            at = max(0, len(noise) - 2048 - self.dice.randrange(200))
        noise[at : at + len(piece)] = piece


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, content)
    return out.getvalue()


class Repository:
    """A git repository in a directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, name: str, content: str | None, message: str = "a change") -> str:
        """Write a file, or remove it, and commit; returns the commit's id."""
        if content is None:
            (self.folder / name).unlink()
        else:
            (self.folder / name).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")
