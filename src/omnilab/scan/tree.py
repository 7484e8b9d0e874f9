"""Walking what is to be scanned: files, archives in them, and the whole history of repositories.

Links are not followed, and nothing found is run. What cannot be read is reported, never passed over.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from omnilab.scan.git_history import is_repository, search_history
from omnilab.scan.report import Finding, Place, Report
from omnilab.scan.search import search
from omnilab.scan.stream import Stream, StreamSearch

_SNIFFED_BYTES = 1 << 16
# What one file may unfold to at most; more is reported as not read to its end.
EXPANDED_BYTES = 4 << 30
_DEEPEST_ARCHIVE = 3
_OPENERS: dict[bytes, Callable[[IO[bytes]], Stream]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_ZIP = b"PK\x03\x04"
_TROUBLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class Scan:
    """One scan. `advance` is told how many more bytes were read; `history`: whether repositories' history counts."""

    def __init__(self, advance: Callable[[int], None] = lambda _: None, *, history: bool = True) -> None:
        self.report = Report()
        self._advance = advance
        self._history = history

    def scan(self, path: Path) -> None:
        """Add what a file or a directory with all below it holds."""
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            self.report.skip(str(path), f"cannot be read: {error.strerror}")
            return
        if stat.S_ISDIR(mode):
            self._scan_directory(path)
        elif stat.S_ISREG(mode):
            self._scan_file(path)
        elif stat.S_ISLNK(mode):
            self._search_name(str(path))

    def scan_stream(self, stream: IO[bytes], name: str) -> None:
        """Add what a stream holds."""
        self._search(stream, Place(name), depth=0)

    def _scan_directory(self, top: Path) -> None:
        for folder, folders, names in os.walk(top, onerror=self._unreadable):
            folders.sort()
            here = Path(folder)
            if self._history and is_repository(here):
                for finding in search_history(here, self.report, self._advance):
                    self.report.findings.append(finding)
                # Its objects were read through git; as files they are only compressed bytes.
                folders[:] = [each for each in folders if each != "objects"]
            self._search_name(folder)
            for name in sorted(names):
                if stat.S_ISREG(os.lstat(here / name).st_mode):
                    self._scan_file(here / name)

    def _unreadable(self, error: OSError) -> None:
        self.report.skip(str(error.filename), f"cannot be read: {error.strerror}")

    def _scan_file(self, path: Path) -> None:
        self.report.files += 1
        self._search_name(str(path))
        try:
            with path.open("rb", buffering=0) as file:
                self._search(file, Place(str(path)), depth=0)
        except OSError as error:
            self.report.skip(str(path), f"cannot be read: {error.strerror}")

    def _search_name(self, path: str) -> None:
        for hit in search(Path(path).name.encode("utf-8", "surrogateescape")):
            self.report.findings.append(Finding(Place(path), hit))

    def _search(self, file: IO[bytes], place: Place, depth: int) -> None:
        """Search the bytes themselves, and what they unfold to."""
        first = file.read(_SNIFFED_BYTES)
        opener = next((made for magic, made in _OPENERS.items() if first.startswith(magic)), None)
        is_archive = depth < _DEEPEST_ARCHIVE and (opener is not None or first.startswith(_ZIP))
        if not is_archive:
            self._search_stream(StreamSearch(file, first), place)
            return
        if not file.seekable():
            file = io.BytesIO(first + file.read())
        file.seek(0)
        try:
            if opener is not None:
                self._search_unfolded(opener(file), place)
            else:
                self._search_zip(file, place, depth)
        except _TROUBLE as error:
            self.report.skip(_shown(place), f"is not a whole archive: {type(error).__name__}")
            file.seek(0)  # it may only look like one
            self._search_stream(StreamSearch(file), place)

    def _search_zip(self, file: IO[bytes], place: Place, depth: int) -> None:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name = info.filename if place.member is None else f"{place.member}!{info.filename}"
                inner = Place(place.path, name)
                for hit in search(info.filename.encode("utf-8", "surrogateescape")):
                    self.report.findings.append(Finding(inner, hit))
                with archive.open(info) as member:
                    self._search_member(member, inner, depth + 1, size=info.file_size)

    def _search_member(self, member: IO[bytes], place: Place, depth: int, *, size: int) -> None:
        if size > EXPANDED_BYTES:
            self.report.skip(_shown(place), f"unfolds to more than {EXPANDED_BYTES} bytes")
            return
        self._search(member, place, depth)

    def _search_unfolded(self, stream: Stream, place: Place) -> None:
        self._search_stream(StreamSearch(stream, limit=EXPANDED_BYTES), place)

    def _search_stream(self, searching: StreamSearch, place: Place) -> None:
        for placed in searching.hits():
            self.report.findings.append(Finding.of(place, placed))
        self.report.read_bytes += searching.read_bytes
        self._advance(searching.read_bytes)
        if searching.cut_off:
            self.report.skip(_shown(place), f"unfolds to more than {EXPANDED_BYTES} bytes; the rest was not read")


def _shown(place: Place) -> str:
    return place.path if place.member is None else f"{place.path}!{place.member}"
