"""Finding the one presented credential: in the body, or in HTTP Basic (RFC 6749 §2.3.1), never in both.

The RFC wants user and password form-encoded inside Basic. Some libraries do it (some encode even `_`), some do only
half of it, some nothing. All are understood: the header is read in up to three ways, the RFC's first, and the secret
decides which was meant. Must not know which credentials exist.
"""

from __future__ import annotations

import base64
import binascii
from typing import Protocol
from urllib.parse import unquote, unquote_plus

from omnilab.crypto.secret import Secret
from omnilab.errors import OmniLabError, RequestError, TokenRefusedError
from omnilab.tokens.model.request import Presented


class ClientParameters(Protocol):
    """The body's part of a client's credentials; empty where it has none."""

    @property
    def client_id(self) -> str: ...
    @property
    def client_secret(self) -> str: ...


def find_presented(authorization: bytes | None, parameters: ClientParameters) -> tuple[Presented, ...]:
    """The readings of the one credential of a request, likeliest first.

    Raises TokenRefusedError `credential_missing` or `two_authentication_methods`; RequestError for a broken header.
    """
    if authorization is None:
        if not parameters.client_id or not parameters.client_secret:
            raise _missing(parameters)
        return (Presented(parameters.client_id, Secret(parameters.client_secret)),)
    readings = _read_basic(authorization)
    if parameters.client_secret:
        raise _two_methods("a client_secret in the body as well as an Authorization header")
    if parameters.client_id and all(parameters.client_id != each.client_id for each in readings):
        # Equal to the Basic user a bare client_id is no second method: several libraries always send it.
        raise _two_methods("a client_id in the body that is not the Basic user")
    if not readings[0].client_id or not readings[0].secret:
        raise _missing(parameters)
    return readings


def claimed_client_id(authorization: bytes | None, parameters: ClientParameters) -> str | None:
    """Whose credential it says it is; proves nothing."""
    if parameters.client_id:
        return parameters.client_id
    if authorization is None:
        return None
    try:
        return _read_basic(authorization)[0].client_id or None
    except OmniLabError:
        return None


def basic_tried(authorization: bytes | None) -> bool:
    """Whether the caller tried HTTP Basic; the scheme is case-insensitive (RFC 9110 §11.1)."""
    return authorization is not None and authorization[:6].lower() == b"basic "


def _read_basic(authorization: bytes) -> tuple[Presented, ...]:
    if not basic_tried(authorization):
        raise _two_methods("an Authorization header of another scheme than Basic")
    try:
        raw = base64.b64decode(authorization[6:].strip(b" "), validate=True)
    except (binascii.Error, ValueError):
        raise _broken("not base64") from None
    text = _decoded(raw)
    user, colon, password = text.partition(":")
    if not colon:
        raise _broken("no colon between user and password")
    readings = (
        Presented(read(user), Secret(read(password)))
        # Nothing to decode: one reading, the usual case.
        for read in ((unquote_plus, unquote, str) if "%" in text or "+" in text else (str,))
    )
    # A text that only looks encoded (`%00` in an earlier system's secret) is left as it stands.
    found = [each for each in readings if not (_has_control(each.client_id) or _has_control(each.secret.reveal()))]
    if not found:
        raise _broken("control characters")
    return tuple(dict.fromkeys(found))


def _decoded(raw: bytes) -> str:
    """UTF-8 (RFC 7617 §2.1), or Latin-1, which the most used Python library still writes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _has_control(text: str) -> bool:
    return any(char < " " or char == "\x7f" for char in text)


def _broken(found: str) -> RequestError:
    return RequestError(
        "request_malformed",
        "The Authorization header is not well-formed Basic (RFC 7617): base64 of user, colon and password.",
        check="authentication_methods",
        expected="Basic and base64 of user:password",
        found=found,
    )


def _two_methods(found: str) -> TokenRefusedError:
    return TokenRefusedError(
        "two_authentication_methods",
        "Two authentication methods in one request: send the credentials in the body or as Authorization: Basic, "
        "not both, and no other Authorization header.",
        check="authentication_methods",
        expected="one authentication method",
        found=found,
    )


def _missing(parameters: ClientParameters) -> TokenRefusedError:
    absent = " and ".join(name for name in ("client_id", "client_secret") if not getattr(parameters, name))
    return TokenRefusedError(
        "credential_missing",
        f"The request carries no client credentials: {absent} missing or empty. An unset variable is a usual cause.",
        check="authentication_methods",
        expected="client_id and client_secret, in the body or as Authorization: Basic",
        found=f"no {absent}",
    )
