"""What each field of a booking may hold: the same rules for query strings, JSON bodies and imported files.

Every check gives None or, in words, what is wrong; a value itself is never quoted, because it may be a credential
or a person's name.
"""

from __future__ import annotations

import re

from omnilab.bookings.model.times import time_ms
from omnilab.telemetry.redaction import looks_like_credential

ID_CHARACTERS = 255
TEXT_CHARACTERS = 1000
REASON_CHARACTERS = 500
MAX_CAPACITY = 1_000_000_000

# C0, DEL and C1 controls, and halves of a surrogate pair, which are no characters.
_UNFIT_IN_ID = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNFIT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# The same for the API document, as JSON Schema wants it (ECMA-262, where a pattern may match anywhere).
ID_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f]*$"
TEXT_PATTERN = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$"
_CREDENTIAL = "looks like a credential; a secret or token must never be sent here"


def id_problem(text: str) -> str | None:
    """Ids of contacts, bookings, interactions, events and slots: 1–255 characters, no control characters."""
    if not 1 <= len(text) <= ID_CHARACTERS:
        return f"must have 1 to {ID_CHARACTERS} characters"
    if not text.isprintable() and _UNFIT_IN_ID.search(text):
        return "must have no control characters"
    return _CREDENTIAL if looks_like_credential(text) else None


def text_problem(text: str, characters: int = TEXT_CHARACTERS) -> str | None:
    """Text for people: up to `characters` characters, no control characters but tabs and line breaks.

    Text that looks like a credential is refused here too, or it would lie readable in the database.
    """
    if len(text) > characters:
        return f"must have at most {characters} characters"
    if not text.isprintable() and _UNFIT_IN_TEXT.search(text):
        return "must have no control characters"
    return _CREDENTIAL if looks_like_credential(text) else None


def time_problem(text: str) -> str | None:
    """A time by RFC 3339 with its offset."""
    return None if time_ms(text) is not None else "must be an RFC 3339 time such as 2026-12-01T10:00:00Z"


def capacity_problem(capacity: int) -> str | None:
    """The places of a slot."""
    return None if 1 <= capacity <= MAX_CAPACITY else f"must be a whole number from 1 to {MAX_CAPACITY}"
