"""A file system of a few megabytes that a test can fill and empty again."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A disk of its own, mounted at `path`."""

    path: Path

    def fill(self) -> None:
        """Take all the space that is left, while others take theirs."""
        with (self.path / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65_536))

    def empty(self) -> None:
        (self.path / "ballast").unlink()


@contextmanager
def small_disk(megabytes: int) -> Iterator[SmallDisk]:
    """As root a mount; otherwise one in a namespace of its own, reached through the process that holds it."""
    with tempfile.TemporaryDirectory(prefix="omnilab-disk-") as folder:
        options = ["-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", folder]
        if os.geteuid() == 0:
            subprocess.run(["mount", *options], check=True)
            try:
                yield SmallDisk(Path(folder))
            finally:
                subprocess.run(["umount", "--lazy", folder], check=True)
            return
        script = f"mount {' '.join(options)} && echo mounted && exec cat"
        words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"mounted\n"
            yield SmallDisk(Path(f"/proc/{holder.pid}/root{folder}"))
            holder.terminate()
