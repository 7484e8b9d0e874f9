"""Reading a compact JWS (RFC 7515 §7.1) as strictly as the RFCs allow, before anything in it is believed.

Promises that every token has exactly one accepted spelling: three parts, canonical base64url, one JSON object each
without a member named twice. Must not know keys, claims or time.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NamedTuple, NoReturn

from omnilab.guard.errors import InvalidTokenError

ALGORITHMS = ("ES256", "RS256", "EdDSA")

# Ours are under 1,000 characters; the bound keeps a stranger from making us decode what a header can hold.
MAX_TOKEN_CHARS = 8192

_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")

# A key, or the place of one, must never come from the token itself (RFC 8725 §3.10); `crit` would ask for rules that
# we do not have (RFC 7515 §4.1.11), `b64` changes what is signed (RFC 7797), `zip` and `enc` belong to JWE.
_REFUSED_MEMBERS = ("jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc")

# Only well-known names are ever quoted: what a stranger writes into a header must not reach a record.
_QUOTABLE_ALGORITHMS = frozenset(
    ["none", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "PS384", "PS512", "ES384", "ES512", "ES256K"]
)


class CompactToken(NamedTuple):
    """The parts of a token whose signature is not checked yet."""

    algorithm: str
    key_id: str
    type: object
    signing_input: bytes
    payload: bytes
    signature: bytes


_AS_RETURNED = "The access token cannot be accepted; send the access_token exactly as the token call returned it."


def refuse_form(expected: str, found: str, *, check: str = "token_form", detail: str = _AS_RETURNED) -> NoReturn:
    """Raise `token_malformed`, the one code for everything that is no token of ours."""
    raise InvalidTokenError(
        "token_malformed",
        detail,
        reason=f"expected {expected}, found {found}",
        check=check,
        expected=expected,
        found=found,
    )


def read_compact(token: str) -> CompactToken:
    """Take a token apart. Raises InvalidTokenError `token_malformed`."""
    if len(token) > MAX_TOKEN_CHARS:
        refuse_form(f"at most {MAX_TOKEN_CHARS} characters", f"{len(token)} characters")
    if token.startswith("omni_"):
        refuse_form(
            "an access token",
            "a client secret",
            detail="A client secret is no access token; get one from POST /v1/oauth:token and send that.",
        )
    if not token.isascii():
        refuse_form("ASCII characters", "others")
    parts = token.encode("ascii").split(b".")
    if len(parts) != 3:
        refuse_form("three parts joined by dots", f"{len(parts)} part{'' if len(parts) == 1 else 's'}")
    header = read_object(decode_base64url(parts[0], "header"), "header")
    algorithm, key_id = _read_header(header)
    return CompactToken(
        algorithm=algorithm,
        key_id=key_id,
        type=header.get("typ"),
        signing_input=parts[0] + b"." + parts[1],
        payload=decode_base64url(parts[1], "payload"),
        signature=decode_base64url(parts[2], "signature"),
    )


def _read_header(header: dict[str, Any]) -> tuple[str, str]:
    for member in _REFUSED_MEMBERS:
        if member in header:
            refuse_form("a header of alg, typ and kid", f"a header with {member}")
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        known = isinstance(algorithm, str) and algorithm in _QUOTABLE_ALGORITHMS
        found = f"alg {algorithm}" if known else "another alg"
        refuse_form(f"alg {', '.join(ALGORITHMS)}", found, check="token_signature")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= 255:
        refuse_form("the kid of a signing key", "none", check="token_signature")
    return str(algorithm), key_id


def decode_base64url(text: bytes, what: str) -> bytes:
    """Decode canonical, unpadded base64url (RFC 7515 §2, RFC 4648 §3.5). Raises InvalidTokenError."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        refuse_form("base64url without padding", f"a {what} that was cut off or has other characters")
    data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    # The last character may carry bits that decoding drops: several spellings of one token.
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text:
        refuse_form("canonical base64url", f"a {what} that was cut off or changed: spare bits at its end")
    return data


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object in UTF-8 without a member named twice (RFC 7515 §4, RFC 7519 §4). Raises InvalidTokenError."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        # UnicodeDecodeError and JSONDecodeError are ValueErrors; so is a number of too many digits.
        refuse_form("a JSON object with each member once", f"something else in the {what}")
    if not isinstance(value, dict):
        refuse_form("a JSON object", f"other JSON in the {what}")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is named twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
