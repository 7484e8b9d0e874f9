"""The one table of HTTP statuses, and the three forms of a refusal.

Promises that every error of the tree becomes an answer of the contract: problem details (RFC 9457) for the API,
RFC 6749 §5.2 objects for the token endpoint, `WWW-Authenticate` by RFC 6750 §3 and RFC 7617. Knows codes and
statuses only; what was wrong is said by whoever raised the error, and nothing private (`reason`, `expected`,
`found`) leaves through here.
"""

from __future__ import annotations

import msgspec

from omnilab.codes import CODES
from omnilab.errors import OmniLabError
from omnilab.web.exchange import Header

#: code → HTTP status of the API.
API_STATUS: dict[str, int] = {
    "request_malformed": 400,
    "parameter_unknown": 400,
    "parameter_invalid": 400,
    "token_missing": 401,
    "token_malformed": 401,
    "token_expired": 401,
    "token_revoked": 401,
    "audience_mismatch": 401,
    "tenant_mismatch": 401,
    "client_disabled": 401,
    "tenant_suspended": 401,
    "address_not_allowed": 403,
    "endpoint_not_enabled": 403,
    "token_predates_grant": 403,
    "not_found": 404,
    "booking_not_found": 404,
    "method_not_allowed": 405,
    "booking_already_cancelled": 409,
    "booking_checked_in": 409,
    "booking_exists": 409,
    "slot_full": 409,
    "slot_mismatch": 409,
    "idempotency_in_progress": 409,
    "body_too_large": 413,
    "media_type_unsupported": 415,
    "host_unknown": 421,
    "idempotency_key_reused": 422,
    "quota_exceeded": 429,
    "temporarily_unavailable": 503,
}

#: code → HTTP status and OAuth `error` of the token endpoint and of the calls about a token (RFC 6749 §5.2, RFC 8707
#: §2 for invalid_target, RFC 7009 §2.2.1 for unsupported_token_type).
OAUTH_STATUS: dict[str, tuple[int, str]] = {
    "request_malformed": (400, "invalid_request"),
    "parameter_missing": (400, "invalid_request"),
    "parameter_repeated": (400, "invalid_request"),
    "parameter_invalid": (400, "invalid_request"),
    "two_authentication_methods": (400, "invalid_request"),
    "browser_request": (400, "invalid_request"),
    "resource_mismatch": (400, "invalid_request"),
    "audience_missing": (400, "invalid_request"),
    "method_not_allowed": (405, "invalid_request"),
    "body_too_large": (413, "invalid_request"),
    "media_type_unsupported": (415, "invalid_request"),
    "host_unknown": (421, "invalid_request"),
    "grant_type_unsupported": (400, "unsupported_grant_type"),
    "token_type_unsupported": (400, "unsupported_token_type"),
    "audience_unknown": (400, "invalid_target"),
    "scope_not_granted": (400, "invalid_scope"),
    "client_not_allowed_grant": (400, "unauthorized_client"),
    "credential_missing": (401, "invalid_client"),
    "client_authentication_failed": (401, "invalid_client"),
    "secret_mistyped": (401, "invalid_client"),
    "secret_cut_off": (401, "invalid_client"),
    "secret_wrong_environment": (401, "invalid_client"),
    "secret_expired": (401, "invalid_client"),
    "secret_revoked": (401, "invalid_client"),
    "client_disabled": (401, "invalid_client"),
    "tenant_suspended": (401, "invalid_client"),
    "address_not_allowed": (401, "invalid_client"),
    "tenant_host_mismatch": (401, "invalid_client"),
    "token_quota_exceeded": (429, "slow_down"),
    "quota_exceeded": (429, "slow_down"),
    "too_many_failed_authentications": (429, "slow_down"),
    "temporarily_unavailable": (503, "temporarily_unavailable"),
}

PROBLEM_TYPE = b"application/problem+json"


class FieldProblem(msgspec.Struct, frozen=True):
    """One bad field of a request."""

    field: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details (RFC 9457). Callers compare `code`; the texts are for people and may change."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem] = []


class OAuthError(msgspec.Struct, frozen=True):
    """A refusal of the token endpoint (RFC 6749 §5.2). `error_uri` is the help page of the exact cause."""

    error: str
    error_description: str
    error_uri: str
    request_id: str


def problem_answer(
    error: OmniLabError, *, request_id: str, docs_url: str, resource_metadata: str = ""
) -> tuple[int, bytes, list[Header]]:
    """Status, body and headers of an API refusal. An error outside the table answers 503, never a guess.

    resource_metadata: the URL that tells where tokens for this API come from (RFC 9728 §5.1).
    """
    code = error.code if error.code in API_STATUS else "temporarily_unavailable"
    status = API_STATUS[code]
    problem = Problem(
        type=f"{docs_url}/errors/{code}",
        title=CODES[code].title,
        status=status,
        detail=error.detail if code == error.code else CODES[code].meaning,
        code=code,
        request_id=request_id,
        errors=[FieldProblem(bad.field, bad.detail) for bad in error.errors],
    )
    headers = _retry_headers(error, code)
    # RFC 6750 §3.1 has no word for an address, and `insufficient_scope` would send the caller the wrong way.
    if status in (401, 403) and code != "address_not_allowed":
        challenge = bearer_challenge(code, status)
        if status == 401 and resource_metadata and challenge != b"Bearer":
            challenge += b', resource_metadata="%b"' % resource_metadata.encode()
        headers.append((b"www-authenticate", challenge))
    return status, msgspec.json.encode(problem), headers


def oauth_answer(
    error: OmniLabError, *, request_id: str, docs_url: str, basic_tried: bool
) -> tuple[int, bytes, list[Header]]:
    """Status, body and headers of a token endpoint refusal. `basic_tried`: an `Authorization: Basic` header came."""
    code = error.code if error.code in OAUTH_STATUS else "temporarily_unavailable"
    status, oauth_error = OAUTH_STATUS[code]
    description = oauth_text(error.detail if code == error.code else CODES[code].meaning)
    body = OAuthError(oauth_error, description, f"{docs_url}/errors/{code}", request_id)
    headers = _retry_headers(error, code)
    if status == 401 and basic_tried:
        headers.append((b"www-authenticate", _basic_challenge(oauth_error, description)))
    return status, msgspec.json.encode(body), headers


def bearer_challenge(code: str, status: int) -> bytes:
    """`WWW-Authenticate` of the API (RFC 6750 §3): no error where no token came."""
    if code == "token_missing":
        return b"Bearer"
    return b'Bearer error="insufficient_scope"' if status == 403 else b'Bearer error="invalid_token"'


def _retry_headers(error: OmniLabError, code: str) -> list[Header]:
    """`Retry-After` in whole seconds: always where the same request may be sent again."""
    seconds = error.retry_after_seconds
    if seconds is None and CODES[code].retry:
        seconds = 1
    return [] if seconds is None else [(b"retry-after", b"%d" % max(seconds, 1))]


def oauth_text(text: str) -> str:
    """`error_description` takes ASCII without `"` and `\\` only (RFC 6749 §5.2)."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    text = (
        text.replace('"', "'").replace("\\", "/").replace("\N{EN DASH}", "-").replace("\N{HORIZONTAL ELLIPSIS}", "...")
    )
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def _basic_challenge(oauth_error: str, description: str) -> bytes:
    """Some libraries show nothing of a 401 but this header, so it carries the error and its description too."""
    return f'Basic realm="omnilab", error="{oauth_error}", error_description="{description}"'.encode("ascii")
