"""Refusals grouped by their cause, each with a reply that can be sent as it is. Pure.

A reply is made of public words only: the code's meaning and fix, the client's id and one request id; never the private
reason, which would tell a stranger whether a client is known.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from omnilab.audit.model.record import AuditRecord, rfc3339
from omnilab.codes import CODES, Code

_ADDRESSES_SHOWN = 20
_UNKNOWN = Code("unknown", "Refused", "The request was refused.", "Ask OmniLab's support with the request id.")
Key = tuple[str, str, str, str]


class Cause:
    """All refusals of one client for one reason at one endpoint. Records are added newest first."""

    def __init__(self, newest: AuditRecord, client_id: str | None) -> None:
        self.newest = newest
        self.client_id = client_id
        self.count = 0
        self.first_at = self.last_at = newest.occurred_at
        self.addresses: Counter[str] = Counter()

    def add(self, record: AuditRecord, count: int) -> None:
        """Count one record, which may stand for several refusals."""
        self.count += count
        self.first_at = min(self.first_at, record.occurred_at)
        self.last_at = max(self.last_at, record.occurred_at)
        if record.address:
            self.addresses[record.address] += count

    def present(self) -> dict[str, Any]:
        """The cause as `audit explain --json` prints it."""
        code = CODES.get(self.newest.code or "", _UNKNOWN)
        return {
            "code": self.newest.code,
            "title": code.title,
            "endpoint": self.newest.endpoint,
            "client_id": self.client_id,
            "proved": self.newest.client_id is not None,
            "check": self.newest.check,
            "expected": self.newest.expected,
            "found": self.newest.found,
            "reason": self.newest.reason,
            "count": self.count,
            "first": rfc3339(self.first_at),
            "last": rfc3339(self.last_at),
            "addresses": [address for address, _ in self.addresses.most_common(_ADDRESSES_SHOWN)],
            "request_id": self.newest.request_id,
            "fix": code.fix,
            "reply": self._reply(code),
        }

    def _reply(self, code: Code) -> str:
        who = f"from your client {self.client_id}" if self.client_id else "sent in your name"
        what = "1 request" if self.count == 1 else f"{self.count} requests"
        when = rfc3339(self.last_at)
        if self.count > 1 and self.first_at != self.last_at:
            when = f"{rfc3339(self.first_at)} and {when}"
        return (
            "Hello,\n\n"
            f"we refused {what} {who} to {self.newest.endpoint} with the code {self.newest.code} ({code.title}), "
            f"{'between' if ' and ' in when else 'at'} {when}.\n\n"
            f"What it means: {code.meaning}\n\n"
            f"What to do: {code.fix}\n\n"
            f"If you ask us again, please name the request id of the latest: {self.newest.request_id}\n"
        )


class Causes:
    """Groups refusals as they are read, newest first; memory grows with the causes, not with the refusals."""

    def __init__(self) -> None:
        self._causes: dict[Key, Cause] = {}

    def add(self, record: AuditRecord, *, client_id: str | None, count: int = 1) -> None:
        """Count one refusal; `client_id` is proved or claimed."""
        key = (record.code or "", record.check or "", client_id or "", record.endpoint)
        if key not in self._causes:
            self._causes[key] = Cause(record, client_id)
        self._causes[key].add(record, count)

    def present(self) -> list[dict[str, Any]]:
        """The causes, the most frequent first."""
        causes = sorted(self._causes.values(), key=lambda cause: (-cause.count, -cause.last_at))
        return [cause.present() for cause in causes]
