"""What a scan found, as documents: for programs, and as SARIF 2.1.0 for code hosts. No secret is in any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from omnilab.scan.search import Hit, masked_text
from omnilab.scan.stream import Placed

RULE_ID = "omnilab-client-secret"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes come from: a file, a member of an archive in it, or an object of a repository's history."""

    path: str
    member: str | None = None
    git_object: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose secret it is, where a database could be asked."""

    tenant: str
    client_id: str
    secret_id: str
    status: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One secret at one place. `line` is None for a name."""

    place: Place
    hit: Hit = field(repr=False)
    line: int | None = None
    column: int | None = None
    owner: Owner | None = None

    @classmethod
    def of(cls, place: Place, placed: Placed) -> Finding:
        return cls(place, placed.hit, placed.line, placed.column)

    def owned(self, owners: Mapping[str, Owner]) -> Finding:
        """The same with its owner, if that is known."""
        return replace(self, owner=owners.get(self.hit.text))

    def document(self) -> dict[str, Any]:
        """As `scan --json` prints it."""
        owner = self.owner
        return {
            "path": masked_text(self.place.path),
            "line": self.line,
            "column": self.column,
            "member": None if self.place.member is None else masked_text(self.place.member),
            "git_object": self.place.git_object,
            "commit": self.place.commit,
            "environment": self.hit.environment,
            "secret": self.hit.masked,
            "encoding": self.hit.encoding,
            "fingerprint": self.hit.fingerprint,
            "tenant": owner.tenant if owner else None,
            "client_id": owner.client_id if owner else None,
            "secret_id": owner.secret_id if owner else None,
            "status": owner.status if owner else None,
        }


@dataclass(slots=True)
class Report:
    """All of a scan. `skipped`: what could not be read, and why; a scan with any is not clean."""

    findings: list[Finding] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    files: int = 0
    git_objects: int = 0
    read_bytes: int = 0

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append((masked_text(path), reason))

    def document(self, seconds: float) -> dict[str, Any]:
        """As `scan --json` prints it."""
        return {
            "findings": [finding.document() for finding in self.findings],
            "secrets": len({finding.hit.fingerprint for finding in self.findings}),
            "files": self.files,
            "git_objects": self.git_objects,
            "bytes": self.read_bytes,
            "seconds": round(seconds, 3),
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }


def sarif_document(report: Report, version: str) -> dict[str, Any]:
    """The findings as SARIF 2.1.0."""
    notes = [{"level": "error", "message": {"text": f"{path}: {reason}"}} for path, reason in report.skipped]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "omnilab scan", "version": version, "rules": [_RULE]}},
                "columnKind": "unicodeCodePoints",
                "invocations": [{"executionSuccessful": not notes, "toolExecutionNotifications": notes}],
                "results": [_result(finding) for finding in report.findings],
            }
        ],
    }


_RULE = {
    "id": RULE_ID,
    "name": "LeakedClientSecret",
    "shortDescription": {"text": "A client secret of OmniLab"},
    "fullDescription": {"text": "A client secret lets whoever reads it act as the client. Its checksum fits its text."},
    "help": {
        "text": "Revoke it (omnilab secrets revoke), give the client a new one, and look at what it was used for."
    },
    "defaultConfiguration": {"level": "error"},
}


def _result(finding: Finding) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(masked_text(finding.place.path))}}
    if finding.line is not None:
        place["region"] = {"startLine": finding.line, "startColumn": finding.column}
    document = finding.document()
    said = {name: document[name] for name in ("environment", "encoding", "member", "git_object", "commit")}
    said |= {name: document[name] for name in ("tenant", "client_id", "secret_id", "status")}
    return {
        "ruleId": RULE_ID,
        "ruleIndex": 0,
        "level": "error",
        "message": {"text": f"A client secret of {finding.hit.environment}: {finding.hit.masked}"},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"omnilabSecret/v1": finding.hit.fingerprint},
        "properties": {name: value for name, value in said.items() if value is not None},
    }


def _uri(path: str) -> str:
    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(pure.as_posix())
