"""A decision told in plain words: its checks, what to do, and the record in the shape of the contract. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from omnilab.audit.model.checks import expected_of
from omnilab.audit.model.record import (
    CHECKPOINT_ENDPOINT,
    HAND_OFF_ENDPOINT,
    OWN_ACTS,
    TOKEN_CALLS,
    TOKEN_ENDPOINT,
    AuditRecord,
    Check,
    rfc3339,
)
from omnilab.checks import CHECKS
from omnilab.codes import CODES

_NEW_LINK = (
    "Print a new link (`omnilab secrets add CLIENT_ID --hand-off`). If this one was opened by somebody else, revoke the"
    " secret that it made."
)


def expand_checks(record: AuditRecord) -> list[Check]:
    """The trace of a decision: what passed before the failed step, then that step; what was not reached is left out."""
    names = _checks_asked(record)
    failed = record.check if record.outcome == "refused" else None
    passed = names[: names.index(failed)] if failed in names else names if failed is None else ()
    trace = [Check(name, expected_of(name), "as expected", True) for name in passed]
    if failed:
        found = record.found or record.reason or record.code or "something else"
        trace.append(Check(failed, record.expected or expected_of(failed), found, False))
    return trace


def _checks_asked(record: AuditRecord) -> tuple[str, ...]:
    """Which steps a decision of this kind goes through. A change by an operator goes through none."""
    if record.actor is not None or record.endpoint == CHECKPOINT_ENDPOINT or record.endpoint in OWN_ACTS:
        return ()
    if record.outcome == "refused" and not record.check:
        return ()
    if record.endpoint in (HAND_OFF_ENDPOINT, "hand-offs:open"):
        return CHECKS["hand_off"]
    if record.endpoint in TOKEN_CALLS:
        return CHECKS["token_call"]
    return CHECKS["token" if record.endpoint == TOKEN_ENDPOINT else "api"]


def fix_of(record: AuditRecord) -> str | None:
    """What to do about a refusal."""
    if record.endpoint == HAND_OFF_ENDPOINT and record.check == "link":
        return _NEW_LINK
    code = CODES.get(record.code or "")
    return code.fix if code and record.outcome == "refused" else None


def present(record: AuditRecord) -> dict[str, Any]:
    """A record in the shape of the contract, every name present."""
    return {
        "request_id": record.request_id,
        "occurred_at": rfc3339(record.occurred_at),
        "tenant": record.tenant,
        "client_id": record.client_id,
        "secret_id": record.secret_id,
        "address": record.address,
        "endpoint": record.endpoint,
        "outcome": record.outcome,
        "code": record.code,
        "reason": record.reason,
        "checks": [msgspec.structs.asdict(check) for check in expand_checks(record)],
        "fix": fix_of(record),
        "actor": None if record.actor is None else msgspec.to_builtins(record.actor),
        "details": record.details,
        "caller_request_id": record.caller_request_id,
    }
