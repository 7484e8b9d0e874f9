"""What names, keys, quotas and durations must look like. Every rule returns the value to store or raises RuleError.

A RuleError never quotes the value it refuses: the value may be a secret pasted into the wrong place.
"""

from __future__ import annotations

import re
import unicodedata

TENANT_KEY = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
RESERVED_KEYS = frozenset({"admin", "api", "console", "docs", "www"})
ALGORITHMS = ("ES256", "RS256", "EdDSA")
MAX_LIFETIME_SECONDS = 86_400
_ENDPOINT = re.compile(r"[a-z]+:[a-z]+")
_QUOTA = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_DURATION_SECONDS = 100 * 365 * 86_400
_MAIL = re.compile(r"[^\s@<>\",;:\\()\[\]]{1,64}@[^\s@<>\",;:\\()\[\]]{1,189}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!$&-;=?-Z\[\]_a-z~%]+")
_CLIENT_ID = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


class RuleError(ValueError):
    """A value breaks a rule. `code` names the rule, the text says what is wanted."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def tenant_key(text: str) -> str:
    """A lower-case DNS label (RFC 1035 §2.3.1) of 3–40 characters, not one of the reserved ones."""
    if not 3 <= len(text) <= 40 or not TENANT_KEY.fullmatch(text):
        raise RuleError(
            "tenant_key_invalid",
            "A tenant key is 3 to 40 lower-case letters, digits and hyphens, with no hyphen at either end.",
        )
    if text[2:4] == "--":
        raise RuleError("tenant_key_invalid", "A tenant key has no two hyphens at its third and fourth place.")
    if text in RESERVED_KEYS:
        raise RuleError("tenant_key_invalid", f"The tenant keys {', '.join(sorted(RESERVED_KEYS))} are reserved.")
    return text


def display_name(text: str, *, what: str = "name", longest: int = 200) -> str:
    """A text for people: not empty, without control characters, NFC-normalised and trimmed."""
    shown = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(shown) <= longest or not shown.isprintable():
        raise RuleError(f"{what}_invalid", f"A {what} is 1 to {longest} printable characters.")
    return shown


def endpoint_name(text: str) -> str:
    """`<noun>:<verb>` in lower-case letters, such as `bookings:read`."""
    if len(text) > 64 or not _ENDPOINT.fullmatch(text):
        raise RuleError("endpoint_invalid", "An endpoint is written like bookings:read: lower-case letters, one colon.")
    return text


def quota(text: str) -> str | None:
    """`600/minute`; `default` is None, the environment's own figure."""
    if text == "default":
        return None
    if not _QUOTA.fullmatch(text):
        raise RuleError(
            "quota_invalid", "A quota is written like 600/minute (second, minute, hour or day), or default."
        )
    return text


def duration_seconds(text: str) -> int:
    """`90d` and the like, with the units s m h d, in seconds."""
    match = _DURATION.fullmatch(text.strip())
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _MAX_DURATION_SECONDS:
        raise RuleError("duration_invalid", "A duration is a whole number and a unit, such as 90d (units s m h d).")
    return seconds


def audience_uri(text: str) -> str:
    """An absolute URI without fragment (RFC 8707 §2), without user name and password."""
    if len(text) > 255 or not _URI.fullmatch(text):
        raise RuleError("audience_invalid", "An audience is an absolute URI without fragment, at most 255 characters.")
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise RuleError("audience_invalid", "An audience carries no user name and no password.")
    return text


def algorithm(text: str) -> str:
    """One of the three signature algorithms."""
    for known in ALGORITHMS:
        if text.lower() == known.lower():
            return known
    raise RuleError("algorithm_invalid", f"An algorithm is one of {', '.join(ALGORITHMS)}.")


def lifetime_seconds(value: int) -> int:
    """How long a token lives: 1 second to 24 hours."""
    if not 1 <= value <= MAX_LIFETIME_SECONDS:
        raise RuleError("lifetime_invalid", f"A token lives 1 to {MAX_LIFETIME_SECONDS} seconds.")
    return value


def mail_address(text: str) -> str:
    """An address one can write to; the network decides the rest."""
    shown = text.strip()
    if not _MAIL.fullmatch(shown) or not shown.isprintable():
        raise RuleError("technical_contact_invalid", "A technical contact is one mail address.")
    return shown


def legacy_client_id(text: str) -> str:
    """A client id of an earlier system, kept as it is: 1–255 visible ASCII characters (RFC 6749 §A.1)."""
    if not _CLIENT_ID.fullmatch(text):
        raise RuleError("client_id_invalid", "A client id is 1 to 255 visible ASCII characters.")
    return text


def legacy_secret(text: str) -> str:
    """A secret of an earlier system, kept as it is; what begins `omni_` would be checked as one of ours."""
    if not 1 <= len(text) <= 1024 or not text.isprintable():
        raise RuleError("client_secret_invalid", "A client secret is 1 to 1024 printable characters.")
    if text.startswith("omni_"):
        raise RuleError("client_secret_invalid", "A secret of an earlier system must not begin with omni_.")
    return text
