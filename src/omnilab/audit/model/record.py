"""The nouns of the audit: a record, the operator who acts, a check of the decision trace.

Pure: no I/O, no clock. A record holds no secret, token or `external_id`; the service masks what it quotes, and
whoever records a contact gives its HMAC only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

TOKEN_ENDPOINT = "oauth:token"
# The calls about a token that is there already; their callers authenticate as clients.
TOKEN_CALLS = frozenset({"oauth:revoke", "oauth:introspect"})
CHECKPOINT_ENDPOINT = "audit:checkpoint"
HAND_OFF_ENDPOINT = "/hand-off"
# What the service does by itself: no caller asked, so there was nothing to check.
OWN_ACTS = frozenset({"keys:rotate-by-age", "secrets:expiring", "secrets:expose"})
# Names in `details` for what was claimed and not proved (see `claims.py`).
CLAIMED_CLIENT = "claimed_client"
CLAIMED_CLIENTS = "claimed_clients"  # of a flood: several, each with its count
CLAIMED_TENANT = "claimed_tenant"
COUNT = "count"

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


def request_time(request_id: str) -> int | None:
    """When a request id was made (ms), None when it is none."""
    return int(request_id[:8] + request_id[9:13], 16) if is_request_id(request_id) else None


def rfc3339(at_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, the fraction only when it is not zero."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = at_ms % 1000
    return f"{moment}.{fraction:03d}Z" if fraction else f"{moment}Z"
