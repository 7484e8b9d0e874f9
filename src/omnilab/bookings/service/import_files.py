"""Reading a file of bookings row by row: CSV or JSON lines, plain or gzip, told apart by content.

Promises constant memory whatever the file: a line is read up to a limit, a CSV row over up to so many lines, and a
row that cannot be read costs only itself. Knows nothing of what a row means.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from omnilab.bookings.model.imports import COLUMNS, REQUIRED_COLUMNS
from omnilab.errors import ProvisioningError

LINE_BYTES = 64 * 1024
# A quoted CSV field may hold line breaks; a quote that is never closed must not swallow the rows after it.
_ROW_LINES = 20
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class FileRow(NamedTuple):
    """A row as the file has it: the line it begins on (from 1), its values, and why it cannot be read, if so."""

    line: int
    values: dict[str, Any] | str
    problem: str | None = None


class _Line(NamedTuple):
    number: int
    text: str
    problem: str | None


class ImportFile:
    """An opened file. A context manager; `rows` may be gone through once."""

    def __init__(self, path: Path) -> None:
        """Raises ProvisioningError when the file cannot be opened."""
        self.path = path
        try:
            self._raw: BinaryIO = path.open("rb")
            self.size_bytes = path.stat().st_size
            compressed = self._raw.read(2) == _GZIP
            self._raw.seek(0)
        except OSError as error:
            raise ProvisioningError(
                "file_unreadable", f"The file {path} cannot be read: {error.strerror or error}."
            ) from error
        self._content = cast("BinaryIO", gzip.GzipFile(fileobj=self._raw)) if compressed else self._raw
        self._pushed_back: deque[_Line] = deque()
        self._number = 0

    def __enter__(self) -> ImportFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._content.close()
        self._raw.close()

    @property
    def read_bytes(self) -> int:
        """How much of the file, as it lies on disk, has been read."""
        return self._raw.tell()

    def rows(self) -> Iterator[FileRow]:
        """All rows in order. Raises ProvisioningError for a header that does not fit and for a broken gzip file."""
        first = self._next_line()
        while first is not None and not first.text.strip():
            first = self._next_line()
        if first is None:
            return
        if first.text.lstrip().startswith("{"):
            self._pushed_back.append(first)
            yield from self._json_rows()
        else:
            yield from self._csv_rows(_header(first))

    def _json_rows(self) -> Iterator[FileRow]:
        while (line := self._next_line()) is not None:
            if line.text.strip() or line.problem:
                yield _json_row(line)

    def _csv_rows(self, header: list[str]) -> Iterator[FileRow]:
        while (line := self._next_line()) is not None:
            if line.problem:
                yield FileRow(line.number, line.text, line.problem)
            elif line.text.strip("\r\n"):
                yield self._csv_row(header, line)

    def _csv_row(self, header: list[str], first: _Line) -> FileRow:
        """The row that begins on a line; over the next lines too while a quote is open."""
        lines = [first]
        while True:
            cells, problem = _cells("".join(line.text for line in lines))
            if problem is None and len(cells) == len(header):
                return FileRow(first.number, dict(zip(header, cells, strict=True)))
            following = self._next_line() if problem == _OPEN_QUOTE and len(lines) < _ROW_LINES else None
            if following is None or following.problem:
                break
            lines.append(following)
        self._pushed_back.extendleft(reversed(lines[1:] if following is None else [*lines[1:], following]))
        if len(lines) > 1:
            problem = _OPEN_QUOTE
        return FileRow(first.number, first.text.rstrip("\r\n"), problem or _miscounted(cells, header))

    def _next_line(self) -> _Line | None:
        if self._pushed_back:
            return self._pushed_back.popleft()
        try:
            data = self._content.readline(LINE_BYTES + 1)
            too_long = len(data) > LINE_BYTES
            rest = data
            while too_long and rest and not rest.endswith(b"\n"):
                rest = self._content.readline(LINE_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise ProvisioningError(
                "file_unreadable",
                f"The file {self.path} is broken after line {self._number}: {error}. The rows before it were imported.",
            ) from error
        if not data:
            return None
        self._number += 1
        if self._number == 1:
            data = data.removeprefix(_BOM)
        if too_long:
            return _Line(
                self._number, data[:200].decode(errors="replace"), f"the line is longer than {LINE_BYTES} bytes"
            )
        try:
            return _Line(self._number, data.decode(), None)
        except UnicodeDecodeError:
            return _Line(self._number, data.decode(errors="replace"), "the line is not UTF-8")


_OPEN_QUOTE = "a quote is not closed"


def _cells(text: str) -> tuple[list[str], str | None]:
    """The cells of one CSV row, or why it is none."""
    try:
        # One reader a row: a reader over the whole file would let one open quote swallow all rows behind it.
        return next(csv.reader([text], strict=True)), None
    except csv.Error as error:
        return [], _OPEN_QUOTE if "unexpected end of data" in str(error) else f"it is no CSV: {error}"


def _miscounted(cells: list[str], header: list[str]) -> str:
    return f"it has {len(cells)} columns, the header has {len(header)}"


def _header(line: _Line) -> list[str]:
    cells, problem = _cells(line.text)
    names = [cell.strip() for cell in cells]
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    unknown = sorted(set(names) - set(COLUMNS))
    if problem is None and not line.problem and not missing and not unknown and len(set(names)) == len(names):
        return names
    wrong = f"missing: {', '.join(missing)}" if missing else f"not known or given twice: {', '.join(unknown) or 'some'}"
    raise ProvisioningError(
        "file_header_invalid",
        f"The first line is neither a JSON object nor a CSV header with the columns {', '.join(COLUMNS)} "
        f"(the last four may be left out). Columns {wrong}.",
    )


def _json_row(line: _Line) -> FileRow:
    text = line.text.rstrip("\r\n")
    if line.problem:
        return FileRow(line.number, text, line.problem)
    try:
        values = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return FileRow(line.number, text, "it is no JSON")
    if not isinstance(values, dict):
        return FileRow(line.number, text, "it is JSON, but no object")
    return FileRow(line.number, values)
