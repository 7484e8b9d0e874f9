"""The rules for the claims of an access token (RFC 9068 §2.2, RFC 7519 §4.1). Pure: the time is an argument.

Called only with a payload whose signature is proved, so issuer and audience may be quoted in a refusal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container
from typing import Any, NamedTuple

from omnilab.guard.compact import read_object, refuse_form
from omnilab.guard.errors import InvalidTokenError

# RFC 9068 §2.1: either spelling. Any other type is another kind of JWT, whoever signed it.
TOKEN_TYPES = ("at+jwt", "application/at+jwt")

# 9999-12-31T23:59:59Z: what every calendar can still write.
LAST_MOMENT = 253_402_300_799

_KNOWN_TYPES = frozenset(["JWT", "jwt", "dpop+jwt", "logout+jwt", "id_token+jwt", "JOSE", "AT+JWT"])
_VISIBLE = re.compile(r"[\x20-\x7e]{1,255}")
_SCOPE = re.compile(r"(?:[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*)?")  # RFC 6749 §3.3, or nothing


class Claims(NamedTuple):
    """The claims of one token, of the right types."""

    issuer: str
    client_id: str
    tenant: str
    credential_id: str
    token_id: str
    audiences: tuple[str, ...]
    scope: frozenset[str]
    issued_at: float
    not_before: float
    expires_at: float


def check_type(found: object) -> None:
    """Raise unless the header's `typ` says access token. A guard without this takes an ID token for one."""
    if found not in TOKEN_TYPES:
        shown = f"typ {found}" if isinstance(found, str) and found in _KNOWN_TYPES else "another typ, or none"
        refuse_form("typ at+jwt", shown, check="token_type")


def read_claims(payload: bytes) -> Claims:
    """Read the claims. Raises InvalidTokenError `token_malformed` for a missing or mistyped one."""
    members = read_object(payload, "payload")
    _text(members, "sub")  # required by RFC 9068 §2.2; for this grant it says what client_id says
    scope = members.get("scope")
    if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
        refuse_form("scope, names with a space between them", _kind(members, "scope"))
    issued_at = _moment(members, "iat")
    return Claims(
        issuer=_text(members, "iss"),
        client_id=_text(members, "client_id"),
        tenant=_text(members, "tenant"),
        credential_id=_text(members, "credential_id"),
        token_id=_text(members, "jti"),
        audiences=_audiences(members),
        scope=frozenset(scope.split()),
        issued_at=issued_at,
        not_before=_moment(members, "nbf") if "nbf" in members else issued_at,
        expires_at=_moment(members, "exp"),
    )


def check_issuer(claims: Claims, issuer: str) -> None:
    """Raise unless the token is of this issuer, compared character by character (RFC 9068 §4)."""
    if claims.issuer != issuer:
        refuse_form(f"issuer {issuer}", f"issuer {claims.issuer}", check="token_issuer")


def check_time(claims: Claims, now: float, leeway: float) -> None:
    """Raise `token_expired` from `exp` on, `token_malformed` before `nbf` or `iat`, each with `leeway` seconds."""
    if now >= claims.expires_at + leeway:
        raise expired(claims.expires_at, now)
    earliest = max(claims.not_before, claims.issued_at)
    if now < earliest - leeway:
        raise InvalidTokenError(
            "token_malformed",
            "The access token is not valid yet: a clock is wrong, on the issuer's side or on this one.",
            reason="nbf or iat lies in the future",
            check="token_time",
            expected="a token that is valid already",
            found=f"one that begins in {math.ceil(earliest - now)} s",
        )


def expired(expires_at: float, now: float) -> InvalidTokenError:
    """The refusal of a token that is too old."""
    return InvalidTokenError(
        "token_expired",
        "The access token has expired; get a new one and repeat the call once.",
        check="token_time",
        expected="a token before its exp",
        found=f"one that expired {max(0, math.floor(now - expires_at))} s ago",
    )


def pick_audience(audiences: tuple[str, ...], accepted: Container[str], expected: str) -> str:
    """The first of the token's audiences that is accepted. Raises InvalidTokenError `audience_mismatch`."""
    for audience in audiences:
        if audience in accepted:
            return audience
    raise InvalidTokenError(
        "audience_mismatch",
        "The access token is for another API; ask for one with this API's audience.",
        check="token_audience",
        expected=f"audience {expected}",
        found=" ".join(audiences)[:255],
    )


def _audiences(members: dict[str, Any]) -> tuple[str, ...]:
    value = members.get("aud")
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not 0 < len(listed) <= 100:
        refuse_form("aud, a URI or a list of them", _kind(members, "aud"))
    if not all(isinstance(item, str) and _VISIBLE.fullmatch(item) for item in listed):
        refuse_form("aud, a URI or a list of them", "aud with something else in it")
    return tuple(listed)


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
        refuse_form(f"{name}, 1 to 255 visible characters", _kind(members, name))
    return value


def _moment(members: dict[str, Any], name: str) -> float:
    value = members.get(name)
    # bool is an int to Python; NaN compares false with everything and would never expire.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_MOMENT:
        refuse_form(f"{name}, seconds since 1970", _kind(members, name))
    return value


def _kind(members: dict[str, Any], name: str) -> str:
    return f"{name} of another kind" if name in members else f"no {name}"
