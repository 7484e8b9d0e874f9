"""Protecting an API: from an access token to a proved caller. An island: imports nothing else of OmniLab's.

    guard = Guard(
        issuer="https://id.example.com",
        audience="https://acme.api.example.com",
        jwks_url="https://id.example.com/.well-known/jwks.json",
    )
    app = GuardMiddleware(app, guard)          # then, in a handler: request.state.caller.require("bookings:read")
    caller = await guard.verify(token)         # or by hand; raises InvalidTokenError

Signatures are checked from the issuer's public keys alone, which are fetched once and renewed every five minutes, so
the issuer is not asked at each call. The price: **a token is accepted until its `exp`**, also when its credential
was revoked or a grant withdrawn since. Where that has to bite at once, give `standings` (see `Standings`).
"""

from omnilab.guard.caller import Caller, Standing, Standings, TenantStanding
from omnilab.guard.errors import (
    GuardError,
    InsufficientScopeError,
    InvalidTokenError,
    KeysUnavailableError,
    MalformedRequestError,
)
from omnilab.guard.guard import Guard
from omnilab.guard.keys import KeySource
from omnilab.guard.middleware import GuardMiddleware

__all__ = [
    "Caller",
    "Guard",
    "GuardError",
    "GuardMiddleware",
    "InsufficientScopeError",
    "InvalidTokenError",
    "KeySource",
    "KeysUnavailableError",
    "MalformedRequestError",
    "Standing",
    "Standings",
    "TenantStanding",
]
