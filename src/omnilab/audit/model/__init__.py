"""The nouns and rules of the audit, pure."""

from omnilab.audit.model.record import (
    TOKEN_ENDPOINT,
    Actor,
    AuditRecord,
    Check,
    Outcome,
    decode,
    encode,
    is_request_id,
    rfc3339,
)
from omnilab.audit.model.template import RecordTemplate, escaped
from omnilab.audit.model.trace import expand_checks, fix_of, present

__all__ = [
    "TOKEN_ENDPOINT",
    "Actor",
    "AuditRecord",
    "Check",
    "Outcome",
    "RecordTemplate",
    "decode",
    "encode",
    "escaped",
    "expand_checks",
    "fix_of",
    "is_request_id",
    "present",
    "rfc3339",
]
