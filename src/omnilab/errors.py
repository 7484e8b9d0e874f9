"""The error tree of the service.

Every error carries a stable public `code` with public words (`detail`) and a private `reason` that only
the audit record and the logs see. HTTP statuses are not known here: they stand in one table,
`omnilab/web/problems.py`.

    OmniLabError
    ├── RequestError          the request cannot be read as it was sent (400, 413, 415, 405, 404, 421)
    ├── CredentialError       who is calling is not proved, or no longer holds (401)
    ├── RightError            who is calling is known, but may not (403)
    ├── ConflictError         the state of the thing forbids it (404 booking_not_found, 409, 422)
    ├── LimitError            too many calls (429)
    ├── UnavailableError      we cannot decide now; nothing was done (503)
    │   └── OutcomeUnknownError    it may have been done, its answer was lost (503)
    ├── TokenRefusedError     an RFC 6749 §5.2 error of the token endpoint
    └── ProvisioningError     an operator's command is refused (exit code 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a request: its name as the caller wrote it, and what to fix."""

    field: str
    detail: str


class Subject(NamedTuple):
    """Whose request it proved to be. Never filled from a claim that was not proved."""

    tenant_id: str
    tenant: str
    client_id: str
    secret_id: str | None = None


class OmniLabError(Exception):
    """Root of the tree. `code` is public and stable; `reason` is private.

    `check`, `expected` and `found` name the step of the decision trace that failed (`omnilab.codes.CHECKS`).
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        reason: str = "",
        errors: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
        check: str = "",
        expected: str = "",
        found: str = "",
        subject: Subject | None = None,
        claimed_client_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.check = check
        self.expected = expected
        self.found = found
        self.subject = subject
        self.claimed_client_id = claimed_client_id
        self.code = code
        self.detail = detail
        self.reason = reason or code
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds


class RequestError(OmniLabError):
    """The request cannot be read as it was sent."""


class CredentialError(OmniLabError):
    """The caller is not proved, or its credential no longer holds."""


class RightError(OmniLabError):
    """The caller is known and may not do this."""


class ConflictError(OmniLabError):
    """The state of the thing asked for forbids it."""


class LimitError(OmniLabError):
    """Too many calls; `retry_after_seconds` says when to come back."""


class UnavailableError(OmniLabError):
    """No decision can be made now; nothing was done and the call may be repeated."""

    words = "The service cannot answer right now; nothing was done. Repeat the call after the time in Retry-After."

    def __init__(self, reason: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__("temporarily_unavailable", self.words, reason=reason, retry_after_seconds=retry_after_seconds)


class OutcomeUnknownError(UnavailableError):
    """What was to be done was sent to the database, and no answer came: it is done, or it is not."""

    words = (
        "The service cannot tell whether this was done. Repeat the call after the time in Retry-After, a write with "
        "the same Idempotency-Key."
    )


class TokenRefusedError(OmniLabError):
    """A refusal of the token endpoint (RFC 6749 §5.2).

    `code` is our own finer code, which names the help page; the OAuth `error` and the status are looked up from it.
    """


class ProvisioningError(OmniLabError):
    """An operator's command is refused; nothing was changed."""
