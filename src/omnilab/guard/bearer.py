"""Finding the one access token of a request (RFC 6750 §2.1, and nothing of §2.2 and §2.3).

Promises that two tokens are refused rather than one of them chosen: a proxy and we could choose differently. Must
not look into the token.
"""

from __future__ import annotations

from collections.abc import Sequence

from omnilab.guard.errors import InvalidTokenError, MalformedRequestError

_KNOWN_SCHEMES = frozenset([b"basic", b"digest", b"dpop", b"negotiate", b"token", b"apikey"])


def read_bearer(values: Sequence[bytes]) -> str:
    """The token from all `Authorization` values of a request.

    Raises InvalidTokenError `token_missing` when there is none, MalformedRequestError when there are two.
    """
    if len(values) != 1:
        if not values:
            raise missing_token("no Authorization header")
        raise two_tokens("several Authorization headers")
    value = values[0]
    # The scheme's name is case-insensitive (RFC 9110 §11.1).
    if value[:7].lower() != b"bearer ":
        raise missing_token(_scheme_of(value))
    token = value[7:].strip(b" ")
    if b"," in token and b"bearer " in token.lower():
        raise two_tokens("several tokens in one Authorization header")
    if not token:
        raise missing_token("Bearer with nothing after it")
    return token.decode("latin-1")


def missing_token(found: str) -> InvalidTokenError:
    """The refusal of a request without an access token."""
    return InvalidTokenError(
        "token_missing",
        "This call needs an access token; send it as Authorization: Bearer <token>.",
        check="token_presented",
        expected="Authorization: Bearer <token>",
        found=found,
    )


def two_tokens(found: str) -> MalformedRequestError:
    """The refusal of a token in a place, or a number, that RFC 6750 §2 leaves to guessing."""
    return MalformedRequestError(
        "request_malformed",
        "Send one access token, in one Authorization header, and none in the query or the body.",
        check="token_presented",
        expected="one token, in the Authorization header",
        found=found,
    )


def _scheme_of(value: bytes) -> str:
    scheme = value.split(b" ", 1)[0].lower()
    # Anything else may be a token or a secret sent without its scheme, so it is not quoted.
    return f"the scheme {scheme.decode()}" if scheme in _KNOWN_SCHEMES else "an Authorization header without Bearer"
