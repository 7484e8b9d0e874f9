"""What can go wrong at the guard, each with the public code of OmniLab's contract.

    GuardError
    ├── MalformedRequestError    400  two tokens, or one where none may be
    ├── InvalidTokenError        401  the token is missing, wrong, too old or revoked
    ├── InsufficientScopeError   403  the caller is known and may not do this
    └── KeysUnavailableError     503  the issuer's keys cannot be had, so nothing can be decided

`code` and `detail` are public. `reason`, `check`, `expected` and `found` are for the operator's record; no part of a
token is ever in them, except what a verified signature vouches for.
"""

from __future__ import annotations

from typing import ClassVar


class GuardError(Exception):
    """Root of what a guard raises.

    `client_id` and `credential_id` are set only once the signature has proved them.
    """

    status: ClassVar[int] = 503

    def __init__(
        self, code: str, detail: str, *, reason: str = "", check: str = "", expected: str = "", found: str = ""
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.reason = reason or code
        self.check = check
        self.expected = expected
        self.found = found
        self.client_id: str | None = None
        self.credential_id: str | None = None


class MalformedRequestError(GuardError):
    """The request carries its token in a way that RFC 6750 §2 does not allow."""

    status = 400


class InvalidTokenError(GuardError):
    """The token does not prove a caller (RFC 6750 §3.1 `invalid_token`)."""

    status = 401


class InsufficientScopeError(GuardError):
    """The caller is proved and lacks the right (RFC 6750 §3.1 `insufficient_scope`)."""

    status = 403


class KeysUnavailableError(GuardError):
    """The signing keys cannot be fetched; the call may be repeated after `retry_after_seconds`."""

    status = 503

    def __init__(self, reason: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(
            "temporarily_unavailable",
            "The service cannot answer right now; nothing was done. Repeat the call after the time in Retry-After.",
            reason=reason,
        )
        self.retry_after_seconds = retry_after_seconds
