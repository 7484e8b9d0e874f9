"""Masking what a record quotes: the last step before it is written."""

from __future__ import annotations

from functools import lru_cache, partial

import msgspec

from omnilab.audit.model.record import AuditRecord
from omnilab.telemetry.redaction import excerpt, looks_like_credential, mask

_QUOTES = ("reason", "found", "caller_request_id")
_QUOTED_CHARACTERS = 300  # whoever raises an error need not cut what it quotes: cutting before masking would leak


def masked(record: AuditRecord) -> AuditRecord:
    """The record with every quoted value masked where it looks like a credential.

    A granted request quotes only what passed as an identifier, so the exact test does there: it costs a tenth. What
    is expected is our own words, which may speak of credentials without holding one.
    """
    if record.outcome == "granted":
        quoted = [record.caller_request_id, *record.details.values()]
        if not any(isinstance(value, str) and looks_like_credential(value) for value in quoted):
            return record
    changes: dict[str, object] = {}
    for name in _QUOTES:
        value = getattr(record, name)
        if value is not None and (shown := _quoted(value)) != value:
            changes[name] = shown
    if record.expected and _looks_like_credential(record.expected):
        changes["expected"] = mask(record.expected)
    if record.details:
        changes["details"] = {name: _masked(value) for name, value in record.details.items()}
    return msgspec.structs.replace(record, **changes) if changes else record


def _quoted(value: str) -> str:
    return _excerpt(value) if len(value) <= _QUOTED_CHARACTERS else excerpt(value, _QUOTED_CHARACTERS)


def _masked(value: object) -> object:
    return _mask(value) if isinstance(value, str) else value


# Refusals say few different things, and masking one text costs as much as hashing three secrets.
_mask = lru_cache(1024)(mask)
_looks_like_credential = lru_cache(1024)(looks_like_credential)
_excerpt = lru_cache(1024)(partial(excerpt, characters=_QUOTED_CHARACTERS))
