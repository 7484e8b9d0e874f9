"""What the SDK raises. Callers compare `code`; the texts are for people and may change.

    OmniLabError
    ├── ConfigurationError                 what was given cannot be used; nothing was sent
    ├── NoAnswerError                      no answer came, however often it was safe to try
    ├── UnreadableAnswerError              an answer came that is not OmniLab's (a proxy's page, say)
    └── RefusedError                       OmniLab answered with an error code
        ├── TokenRefusedError              no token: the credentials, the audience, the address …
        ├── AuthenticationError       401  the token does not count here, and a new one did not help
        ├── NotAllowedError           403  the client may not make this call
        ├── InvalidRequestError       4xx  the call cannot be read as it was sent
        ├── ConflictError                  the state of the thing forbids it
        │   ├── BookingNotFoundError       404 booking_not_found
        │   ├── BookingAlreadyCancelledError   409 booking_already_cancelled
        │   ├── BookingCheckedInError          409 booking_checked_in
        │   ├── BookingExistsError             409 booking_exists
        │   ├── SlotFullError                  409 slot_full
        │   ├── SlotMismatchError              409 slot_mismatch
        │   ├── IdempotencyInProgressError     409 idempotency_in_progress
        │   └── IdempotencyKeyReusedError      422 idempotency_key_reused
        ├── RateLimitedError          429  too many calls or tokens
        └── UnavailableError          5xx  nothing could be decided

No error holds a request, a token or a secret, and none has one behind it as its cause.
"""

from __future__ import annotations

import msgspec


class FieldProblem(msgspec.Struct, frozen=True):
    """One bad field of a call: its name, and what to fix."""

    field: str
    detail: str


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, as plain data: it can be kept and raised again in any thread.

    retry_after_seconds: when the other side wants to be asked again. status: None where no answer came.
    sent: False where the request certainly never reached the other side.
    """

    code: str
    detail: str
    status: int | None = None
    request_id: str | None = None
    retry_after_seconds: float | None = None
    errors: tuple[FieldProblem, ...] = ()
    sent: bool = True


class OmniLabError(Exception):
    """Root of what the SDK raises."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.code = trouble.code
        """The stable name of what went wrong."""
        self.detail = trouble.detail
        """What went wrong in words, and often how to mend it."""
        self.status = trouble.status
        """The HTTP status, None where no answer came."""
        self.request_id = trouble.request_id
        """What OmniLab finds the call by; give it whenever you ask for help."""
        self.retry_after_seconds = trouble.retry_after_seconds
        self.errors = trouble.errors
        """One entry a bad field."""
        self.idempotency_key: str | None = None
        """The key a failed write was sent with: the same call with the same key is safe to repeat for 24 hours."""

    def __str__(self) -> str:
        told = f"{self.code}: {self.detail}"
        told += "".join(f" [{each.field}: {each.detail}]" for each in self.errors)
        return told if self.request_id is None else f"{told} (request id {self.request_id})"


class ConfigurationError(OmniLabError):
    """What was given cannot be used; nothing was sent. `missing` names the settings that are not there."""

    def __init__(self, trouble: Trouble, missing: tuple[str, ...] = ()) -> None:
        super().__init__(trouble)
        self.missing = missing

    @classmethod
    def of(cls, detail: str, missing: tuple[str, ...] = ()) -> ConfigurationError:
        return cls(Trouble(code="configuration_invalid", detail=detail, sent=False), missing)


class NoAnswerError(OmniLabError):
    """No answer came. `sent` is False where the call certainly never arrived."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.sent = trouble.sent


class UnreadableAnswerError(OmniLabError):
    """What answered is not OmniLab, or speaks of things this SDK cannot read."""


class RefusedError(OmniLabError):
    """OmniLab's own refusal, by its `code`."""


class TokenRefusedError(RefusedError):
    """The token service refuses this client: asking again helps nothing until something is changed."""


class AuthenticationError(RefusedError):
    """The access token does not count for this call, and a new one did not help."""


class NotAllowedError(RefusedError):
    """The client is known and may not make this call; `whoami()` tells which it may."""


class InvalidRequestError(RefusedError):
    """The call cannot be read as it was sent; `errors` names the fields."""


class ConflictError(RefusedError):
    """The state of the thing forbids the call; nothing was changed."""


class BookingNotFoundError(ConflictError):
    """This contact has no booking with this id."""


class BookingAlreadyCancelledError(ConflictError):
    """The booking was cancelled before."""


class BookingCheckedInError(ConflictError):
    """The contact has checked in; nothing can be cancelled any more."""


class BookingExistsError(ConflictError):
    """The booking id is taken."""


class SlotFullError(ConflictError):
    """All places of the slot are taken."""


class SlotMismatchError(ConflictError):
    """The slot is known with other data."""


class IdempotencyInProgressError(ConflictError):
    """The first call with this idempotency key is not finished, and was not within the time there was."""


class IdempotencyKeyReusedError(ConflictError):
    """The idempotency key was used before, with another body."""


class RateLimitedError(RefusedError):
    """Too many calls or tokens; `retry_after_seconds` says when there is room again."""


class UnavailableError(RefusedError):
    """OmniLab cannot answer just now; the call may be repeated."""
