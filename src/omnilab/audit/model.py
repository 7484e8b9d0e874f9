"""The nouns of the audit: a record, the operator who acts, a check of the decision trace, and how records read.

Pure: no I/O, no clock. A record holds no secret, token or `external_id`; the service masks what it quotes, and
whoever records a contact gives its HMAC only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from omnilab.audit.checks import expected_of
from omnilab.codes import CHECKS, CODES

TOKEN_ENDPOINT = "oauth:token"
CHECKPOINT_ENDPOINT = "audit:checkpoint"
# The name of a claim that is no client id in our own form: it may be a secret in the wrong field.
CLAIMED_CLIENT = "claimed_client_id"
CLAIMED_DIGEST = "claimed_client_hmac"
CLAIMED_TENANT = "host_tenant"

Outcome = Literal["granted", "refused"]
_REQUEST_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made a change at the command line. `operator` and `ticket` are given by that person, unproved."""

    os_user: str
    host: str
    operator: str | None = None
    ticket: str | None = None


class Check(msgspec.Struct, frozen=True):
    """One step of a decision, in plain words: what was expected, what came."""

    name: str
    expected: str
    found: str
    passed: bool


class AuditRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision. The order of the fields is the order of the keys in the stored JSON, and never changes.

    `occurred_at` is in milliseconds since 1970 UTC. `tenant_id`, `tenant`, `client_id` and `secret_id` are proved;
    what was merely claimed stands in `details`. A record without a proved tenant belongs to `ten_0`.
    `check`, `expected` and `found` name the one failed step; the steps before it are not stored (`expand_checks`).
    """

    request_id: str
    occurred_at: int
    tenant_id: str
    endpoint: str
    outcome: Outcome
    tenant: str | None = None
    client_id: str | None = None
    secret_id: str | None = None
    address: str | None = None
    code: str | None = None
    reason: str | None = None
    check: str | None = None
    expected: str | None = None
    found: str | None = None
    details: dict[str, str | int] = {}
    actor: Actor | None = None
    caller_request_id: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AuditRecord)


def encode(record: AuditRecord) -> bytes:
    """The canonical JSON of a record, as it is stored and chained."""
    return _encoder.encode(record)


def decode(body: str | bytes) -> AuditRecord:
    """Read what `encode` made. Raises msgspec.DecodeError when the stored text was changed beyond reading."""
    return _decoder.decode(body)


def is_request_id(text: str) -> bool:
    """Whether this is a bare UUIDv7 in lower case, as every answer carries it."""
    return _REQUEST_ID.fullmatch(text) is not None


def request_id_floor(at_ms: int) -> str:
    """The least request id that can have been made at this time (RFC 9562 §5.7: the first 48 bits are the time)."""
    time = f"{max(at_ms, 0):012x}"
    return f"{time[:8]}-{time[8:]}"


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
    if record.actor is not None or record.endpoint == CHECKPOINT_ENDPOINT:
        return ()
    if record.outcome == "refused" and not record.check:
        return ()
    return CHECKS["token" if record.endpoint == TOKEN_ENDPOINT else "api"]


def fix_of(record: AuditRecord) -> str | None:
    """What to do about a refusal."""
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


def rfc3339(at_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, the fraction only when it is not zero."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = at_ms % 1000
    return f"{moment}.{fraction:03d}Z" if fraction else f"{moment}Z"
