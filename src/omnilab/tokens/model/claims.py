"""The claims of an access token (RFC 9068 §2.2), laid out so that most of a token is encoded once, not per request.

Base64url turns three bytes into four characters, so parts whose length is a multiple of three can be encoded apart
and joined. JSON allows spaces between its tokens; they fill the parts up:

    {"iss":…,"aud":…,…,␠␠  |  ␠"iat":…,"exp":…,"jti":"  |  <id>","sub":…,…}
    once per tenant          once per second              per token

Knows neither keys nor clients; everything comes in.
"""

from __future__ import annotations

import msgspec

from omnilab.crypto.signing import b64url
from omnilab.tokens.model.decision import Right


class _FixedClaims(msgspec.Struct):
    """What clients of one tenant have in common."""

    iss: str
    aud: str
    scope: str
    tenant: str


def fixed_claims(issuer: str, tenant: str, right: Right) -> bytes:
    """The encoded beginning of the payload, the same for every token of this tenant, audience and scope."""
    claims = _FixedClaims(issuer, right.audience.audience, right.scope, tenant)
    opened = msgspec.json.encode(claims)[:-1] + b","
    return b64url(opened + b" " * (-len(opened) % 3))


def timed_claims(issued_at: int, lifetime_seconds: int) -> bytes:
    """The encoded middle: `iat` and `exp` in seconds since 1970 UTC, the same for a whole second, and `jti` begun."""
    part = b'"iat":%d,"exp":%d,"jti":"' % (issued_at, issued_at + lifetime_seconds)
    return b64url(b" " * (-len(part) % 3) + part)


def last_claims(token_id: str, client_id: str, credential_id: str) -> bytes:
    """The encoded end: the token's own id, which is the request id, and whose it is.

    client_id: as it stands between quotes in JSON; the others have nothing to escape. `credential_id` lets a revoked
    secret kill exactly its tokens.
    """
    part = f'{token_id}","sub":"{client_id}","client_id":"{client_id}","credential_id":"{credential_id}"}}'
    return b64url(part.encode())
