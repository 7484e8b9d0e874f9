"""The closed list of codes this SDK knows: status, error class, and whether a new token or a repetition helps.

A test holds it equal to the platform's own list. Codes may be added there before an SDK knows them: such an error has
the class of its status.
"""

from __future__ import annotations

from typing import NamedTuple

from omnilab.client import errors
from omnilab.client.errors import OmniLabError, RefusedError, Trouble


class ApiCode(NamedTuple):
    """One code of the API."""

    status: int
    error: type[RefusedError]
    new_token_helps: bool = False
    retry: bool = False


_INVALID, _CONFLICT = errors.InvalidRequestError, errors.ConflictError
_UNAUTHENTICATED, _NOT_ALLOWED = errors.AuthenticationError, errors.NotAllowedError

#: Every code of the API.
API_CODES: dict[str, ApiCode] = {
    "request_malformed": ApiCode(400, _INVALID),
    "parameter_unknown": ApiCode(400, _INVALID),
    "parameter_invalid": ApiCode(400, _INVALID),
    "token_missing": ApiCode(401, _UNAUTHENTICATED),
    "token_malformed": ApiCode(401, _UNAUTHENTICATED),
    "token_expired": ApiCode(401, _UNAUTHENTICATED, new_token_helps=True),
    "token_revoked": ApiCode(401, _UNAUTHENTICATED, new_token_helps=True),
    "audience_mismatch": ApiCode(401, _UNAUTHENTICATED),
    "tenant_mismatch": ApiCode(401, _UNAUTHENTICATED),
    "client_disabled": ApiCode(401, _UNAUTHENTICATED),
    "tenant_suspended": ApiCode(401, _UNAUTHENTICATED),
    "address_not_allowed": ApiCode(403, _NOT_ALLOWED),
    "endpoint_not_enabled": ApiCode(403, _NOT_ALLOWED),
    "token_predates_grant": ApiCode(403, _NOT_ALLOWED, new_token_helps=True),
    "not_found": ApiCode(404, _INVALID),
    "booking_not_found": ApiCode(404, errors.BookingNotFoundError),
    "method_not_allowed": ApiCode(405, _INVALID),
    "booking_already_cancelled": ApiCode(409, errors.BookingAlreadyCancelledError),
    "booking_checked_in": ApiCode(409, errors.BookingCheckedInError),
    "booking_exists": ApiCode(409, errors.BookingExistsError),
    "slot_full": ApiCode(409, errors.SlotFullError),
    "slot_mismatch": ApiCode(409, errors.SlotMismatchError),
    "idempotency_in_progress": ApiCode(409, errors.IdempotencyInProgressError, retry=True),
    "body_too_large": ApiCode(413, _INVALID),
    "media_type_unsupported": ApiCode(415, _INVALID),
    "host_unknown": ApiCode(421, _INVALID),
    "idempotency_key_reused": ApiCode(422, errors.IdempotencyKeyReusedError),
    "quota_exceeded": ApiCode(429, errors.RateLimitedError, retry=True),
    "temporarily_unavailable": ApiCode(503, errors.UnavailableError, retry=True),
}

#: Every code of the token service, with its HTTP status; the last part of `error_uri` in its answers.
TOKEN_CODES: dict[str, int] = {
    "request_malformed": 400,
    "parameter_missing": 400,
    "parameter_repeated": 400,
    "parameter_invalid": 400,
    "two_authentication_methods": 400,
    "browser_request": 400,
    "resource_mismatch": 400,
    "audience_missing": 400,
    "method_not_allowed": 405,
    "body_too_large": 413,
    "media_type_unsupported": 415,
    "host_unknown": 421,
    "grant_type_unsupported": 400,
    "audience_unknown": 400,
    "token_type_unsupported": 400,
    "scope_not_granted": 400,
    "client_not_allowed_grant": 400,
    "credential_missing": 401,
    "client_authentication_failed": 401,
    "secret_mistyped": 401,
    "secret_cut_off": 401,
    "secret_wrong_environment": 401,
    "secret_expired": 401,
    "secret_revoked": 401,
    "client_disabled": 401,
    "tenant_suspended": 401,
    "address_not_allowed": 401,
    "tenant_host_mismatch": 401,
    "token_quota_exceeded": 429,
    "quota_exceeded": 429,
    "too_many_failed_authentications": 429,
    "temporarily_unavailable": 503,
}

#: The SDK's own codes, for what no answer of OmniLab's says.
NO_ANSWER, UNREADABLE, MISCONFIGURED = "no_answer", "answer_unreadable", "configuration_invalid"

_OF_STATUS: dict[int, type[RefusedError]] = {
    401: _UNAUTHENTICATED,
    403: _NOT_ALLOWED,
    409: _CONFLICT,
    422: _CONFLICT,
    429: errors.RateLimitedError,
}
_OWN: dict[str, type[OmniLabError]] = {NO_ANSWER: errors.NoAnswerError, MISCONFIGURED: errors.ConfigurationError}


def error_of_call(trouble: Trouble) -> OmniLabError:
    """A new error for what went wrong with a call of the API."""
    own = _own(trouble)
    if own is not None:
        return own
    known = API_CODES.get(trouble.code)
    return known.error(trouble) if known is not None else _of_status(trouble)


def error_of_token(trouble: Trouble) -> OmniLabError:
    """A new error for what went wrong with a token request."""
    own = _own(trouble)
    if own is not None:
        return own
    status = trouble.status or 0
    return _of_status(trouble) if status == 429 or status >= 500 else errors.TokenRefusedError(trouble)


def _own(trouble: Trouble) -> OmniLabError | None:
    if trouble.code in _OWN:
        return _OWN[trouble.code](trouble)
    # A proxy's 502 page is no code of ours, yet "unavailable" is what it is.
    unreadable = trouble.code == UNREADABLE and (trouble.status or 0) not in _OF_STATUS and (trouble.status or 0) < 500
    return errors.UnreadableAnswerError(trouble) if unreadable else None


def _of_status(trouble: Trouble) -> OmniLabError:
    status = trouble.status or 0
    if status >= 500:
        return errors.UnavailableError(trouble)
    return _OF_STATUS.get(status, errors.InvalidRequestError)(trouble)
