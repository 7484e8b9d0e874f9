"""The guard's own answers: problem details (RFC 9457) with `WWW-Authenticate` (RFC 6750 §3).

The island cannot import OmniLab's table of statuses; a test holds the two equal.
"""

from __future__ import annotations

import json

from omnilab.guard.errors import GuardError, KeysUnavailableError

Header = tuple[bytes, bytes]

#: code → HTTP status and title.
PROBLEMS: dict[str, tuple[int, str]] = {
    "request_malformed": (400, "The request cannot be read"),
    "token_missing": (401, "No access token"),
    "token_malformed": (401, "The access token cannot be accepted"),
    "token_expired": (401, "The access token has expired"),
    "token_revoked": (401, "The access token was revoked"),
    "audience_mismatch": (401, "The access token is for another API"),
    "tenant_mismatch": (401, "The access token belongs to another tenant"),
    "client_disabled": (401, "The client is disabled"),
    "tenant_suspended": (401, "The tenant is suspended"),
    "endpoint_not_enabled": (403, "This endpoint is not enabled for the client"),
    "token_predates_grant": (403, "The token does not carry this endpoint"),
    "temporarily_unavailable": (503, "The service cannot answer right now"),
}


def challenge(code: str, status: int) -> bytes | None:
    """The value of `WWW-Authenticate`, None where there is none. Without a token it names no error (RFC 6750 §3.1)."""
    if code == "token_missing":
        return b"Bearer"
    return {401: b'Bearer error="invalid_token"', 403: b'Bearer error="insufficient_scope"'}.get(status)


def problem_answer(error: GuardError, *, docs_url: str, request_id: str | None) -> tuple[int, bytes, list[Header]]:
    """Status, body and headers of a refusal. docs_url: whose `/errors/<code>` explains it."""
    status, title = PROBLEMS.get(error.code, (error.status, "Refused"))
    problem = {
        "type": f"{docs_url}/errors/{error.code}",
        "title": title,
        "status": status,
        "detail": error.detail,
        "code": error.code,
    }
    if request_id is not None:
        problem["request_id"] = request_id
    body = json.dumps(problem).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    authenticate = challenge(error.code, status)
    if authenticate is not None:
        headers.append((b"www-authenticate", authenticate))
    if isinstance(error, KeysUnavailableError):
        headers.append((b"retry-after", b"%d" % error.retry_after_seconds))
    return status, body, headers
