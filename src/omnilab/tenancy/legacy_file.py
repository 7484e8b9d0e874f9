"""Reads a file of an earlier system's credentials: CSV with a header, or JSON lines.

A row gives a credential or a rejection. A rejection never holds the row's secret, wherever in the row it stands.
Nothing here knows the database.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from omnilab.crypto.secret import Secret
from omnilab.errors import ProvisioningError
from omnilab.telemetry.redaction import looks_like_credential, mask
from omnilab.tenancy.model import rules
from omnilab.tenancy.model.moments import moment_ms
from omnilab.tenancy.model.orders import LegacyCredential
from omnilab.tenancy.refusals import checked, ruled

REQUIRED = ("tenant", "client_id", "client_secret", "allowed", "legacy_expires_at")
COLUMNS = (*REQUIRED[:3], "audience", *REQUIRED[3:])
_LONGEST_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was not taken. `row` is what may be shown of it."""

    line: int
    reason: str
    row: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that can be tried; `row` is what may be shown of it."""

    line: int
    credential: LegacyCredential
    row: Mapping[str, object]


def read_entries(path: Path) -> Iterator[Entry | Rejection]:
    """Every row of the file, in order. Raises ProvisioningError when the file as a whole cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = _first_character(file)
            rows = _json_rows(file) if first == "{" else _csv_rows(file)
            for line, row in rows:
                yield _entry(line, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ProvisioningError("file_unreadable", f"{path} cannot be read: {_why(error)}.") from None


def _first_character(file: IO[str]) -> str:
    first = file.read(_LONGEST_LINE).lstrip()[:1]
    file.seek(0)
    return first


def _why(error: Exception) -> str:
    """An error in words that quote nothing of the file."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return error.strerror or "the system says no more" if isinstance(error, OSError) else "it is not CSV"


def _json_rows(file: IO[str]) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            yield line, "The line is not JSON."
        else:
            yield line, row if isinstance(row, dict) else "The line is not a JSON object."


def _csv_rows(file: IO[str]) -> Iterator[tuple[int, Mapping[str, object] | str]]:
    reader = csv.DictReader(file)
    missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
    if missing:
        raise ProvisioningError(
            "file_unreadable",
            f"The first line must name the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}.",
        )
    for row in reader:
        whole = None not in row and None not in row.values()
        yield reader.line_num, row if whole else "The row has not as many fields as the first line."


def _entry(line: int, row: Mapping[str, object] | str) -> Entry | Rejection:
    if isinstance(row, str):
        return Rejection(line, row, {})
    secret = str(row.get("client_secret") or "")
    shown = {name: _shown(row[name], secret) for name in COLUMNS if name in row and name != "client_secret"}
    try:
        return Entry(line, _credential(row), shown)
    except ProvisioningError as error:
        return Rejection(line, error.detail, shown)


def _shown(value: object, secret: str) -> object:
    """A field as a reject file may hold it: the secret may have slipped into another column."""
    if isinstance(value, list):
        return [_shown(each, secret) for each in value]
    text = str(value)
    if looks_like_credential(text) or (secret and secret in text):
        return "[masked]"
    return mask(text)


def _credential(row: Mapping[str, object]) -> LegacyCredential:
    unknown = sorted(str(name) for name in row.keys() - set(COLUMNS))
    if unknown:
        raise ProvisioningError("row_unreadable", f"Unknown field; known are {', '.join(COLUMNS)}.")
    texts = {name: _text(row, name) for name in COLUMNS if name != "allowed"}
    client_id = checked("client id", rules.legacy_client_id, texts["client_id"])
    secret = ruled(rules.legacy_secret, texts["client_secret"])
    if secret in client_id:
        raise ProvisioningError("client_id_invalid", "The client id holds the secret.")
    return LegacyCredential(
        tenant=checked("tenant key", rules.tenant_key, texts["tenant"]),
        client_id=client_id,
        client_secret=Secret(secret),
        audience=checked("audience", rules.audience_uri, texts["audience"]) if texts["audience"] else None,
        allowed=_endpoints(row.get("allowed")),
        expires_at=ruled(moment_ms, texts["legacy_expires_at"]),
    )


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    if value is None and name == "audience":
        return ""
    if not isinstance(value, str) or (not value and name != "audience"):
        raise ProvisioningError("row_unreadable", f"{name} is missing or is no text.")
    return value if name == "client_secret" else value.strip()


def _endpoints(value: object) -> tuple[str, ...]:
    """A list in JSON; in CSV names with spaces, commas or semicolons between."""
    if isinstance(value, str):
        value = value.replace(",", " ").replace(";", " ").split()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ProvisioningError("row_unreadable", "allowed is a list of endpoint names.")
    return tuple(sorted({checked("endpoint", rules.endpoint_name, each) for each in value}))
