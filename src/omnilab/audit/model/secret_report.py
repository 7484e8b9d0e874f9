"""What was done with one credential since a time: from which addresses, which calls, how often. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from omnilab.audit.model.record import AuditRecord

MOST_ROWS = 10_000
_Key = tuple[str, str, str]  # address, endpoint, outcome


@dataclass(slots=True)
class _Row:
    count: int
    first: AuditRecord
    last: AuditRecord


@dataclass(slots=True)
class SecretReport:
    """Adds records up, newest first, by address, call and outcome. `more`: rows beyond the bound were left out."""

    rows: dict[_Key, _Row] = field(default_factory=dict)
    more: bool = False

    def add(self, record: AuditRecord) -> None:
        """One more record of the credential, older than those before it."""
        key = (record.address or "", record.endpoint, record.outcome)
        row = self.rows.get(key)
        if row is not None:
            row.count += 1
            row.first = record
        elif len(self.rows) < MOST_ROWS:
            self.rows[key] = _Row(1, record, record)
        else:
            self.more = True

    def present(self) -> list[dict[str, str | int]]:
        """One object an address, call and outcome; times in ms since 1970 UTC, and request ids for `audit show`."""
        return [
            {
                "address": address,
                "endpoint": endpoint,
                "outcome": outcome,
                "count": row.count,
                "first_at": row.first.occurred_at,
                "last_at": row.last.occurred_at,
                "first_request_id": row.first.request_id,
                "last_request_id": row.last.request_id,
            }
            for (address, endpoint, outcome), row in sorted(self.rows.items())
        ]
