"""The whole history of a git repository: every object, packed and loose, those no branch reaches any more among them.

Git itself unpacks them (`cat-file --batch-all-objects`), in one process and without a work tree; nothing of the
repository is run. Where a hit belongs is asked only once there is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from omnilab.scan.report import Finding, Place, Report
from omnilab.scan.stream import StreamSearch

_WORD = "git"


def is_repository(folder: Path) -> bool:
    """Whether this is the directory that git keeps objects in: `.git`, or a bare repository."""
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def search_history(folder: Path, report: Report, advance: Callable[[int], None]) -> Iterator[Finding]:
    """The findings in all objects of this repository. What git cannot read is reported."""
    if shutil.which(_WORD) is None:
        report.skip(str(folder), "the history was not read: there is no git on this machine")
        return
    process = _git(folder, "cat-file", "--batch-all-objects", "--batch", "--buffer", "--unordered")
    assert process.stdout is not None
    with process:
        for object_id, body in _objects(process.stdout):
            report.git_objects += 1
            searching = StreamSearch(body)
            for placed in searching.hits():
                yield Finding.of(_place(folder, object_id), placed)
            report.read_bytes += searching.read_bytes
            advance(searching.read_bytes)
    if process.returncode != 0:
        report.skip(str(folder), f"git cat-file ended with {process.returncode}: the history was not read to its end")


class _Body:
    """One object's bytes within git's output."""

    def __init__(self, output: IO[bytes], size: int) -> None:
        self._output = output
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = self._output.read(min(size, self._left))
        self._left -= len(data)
        return data

    def finish(self) -> None:
        """Go past the rest, and the line break after it."""
        while self._left and self.read(1 << 20):
            pass
        self._output.read(1)


def _objects(output: IO[bytes]) -> Iterator[tuple[str, _Body]]:
    while line := output.readline():
        object_id, _, size = line.decode("ascii", "replace").split()
        body = _Body(output, int(size))
        yield object_id, body
        body.finish()


def _place(folder: Path, object_id: str) -> Place:
    """The file and the commit that brought an object in, as far as any branch still knows."""
    work_tree = folder.parent if folder.name == ".git" else folder
    asked = (f"--find-object={object_id}", "--format=%H", "--name-only", "--no-renames", "--reverse")
    process = _git(folder, "log", "--all", *asked)
    said, _ = process.communicate()
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line]
    commit = lines[0] if lines else None
    path = str(work_tree / lines[1]) if len(lines) > 1 else str(folder)
    return Place(path, git_object=object_id, commit=commit)


def _git(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    # A repository's own settings may name programs; the two that these commands could run are switched off.
    settings = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
    environ = os.environ | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.Popen(  # noqa: S603 - the words are ours, the path is one argument
        [_WORD, *settings, f"--git-dir={folder}", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
    )
