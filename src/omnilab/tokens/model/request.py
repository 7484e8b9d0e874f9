"""What a token request asks for, once it has been read: who it says it is, and which token it wants.

Made by `routes`, decided on by `service`. Must not know how it came: JSON, form or Basic look the same here.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from omnilab.crypto.secret import Secret

# What one client secret or id may be long at most: longer than any earlier system's, short enough to hash at once.
LONGEST_CREDENTIAL = 1024


class Presented(NamedTuple):
    """One reading of the presented credential. HTTP Basic may have more than one (see `routes/authorization.py`)."""

    client_id: str
    secret: Secret


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request for a token, strictly read and not yet judged.

    address: the caller's address, for the record; address_group: the same for counting.
    host_tenant: the tenant key of the host it was sent to, None on the platform's own.
    presented: the readings of the one presented credential, likeliest first; empty if there was none to read.
    audience: empty where it was left out; audience_optional: the client's only one may then be taken.
    scope: the part of the rights asked for, empty for all.
    """

    request_id: str
    address: str
    address_group: str
    host_tenant: str | None
    presented: tuple[Presented, ...]
    audience: str
    audience_optional: bool
    scope: str
    caller_request_id: str | None = None
