"""Reading answers: into typed values, or into what went wrong. Pure.

What an answer says is quoted in errors, so credentials of ours that came back in it are masked first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

from omnilab.client.codes import API_CODES, NO_ANSWER, UNREADABLE
from omnilab.client.effects import Answer, Failure
from omnilab.client.errors import FieldProblem, Trouble
from omnilab.client.hidden import Hidden

T = TypeVar("T")

# Where a new token cannot help: the token service would refuse too, or give the same kind of token again.
HOPELESS = frozenset({"audience_mismatch", "tenant_mismatch", "client_disabled", "tenant_suspended"})
MOST_RETRY_AFTER_SECONDS = 86_400.0
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_CREDENTIAL = re.compile(r"omni_[a-z]{3}_\w+|eyJ[\w-]+\.[\w-]+\.[\w-]*|(?i:\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}")
_CODE = re.compile(r"[a-z][a-z0-9_]{1,60}")


class _FieldProblem(msgspec.Struct):
    field: str = ""
    detail: str = ""


class _Problem(msgspec.Struct):
    """Problem details of the API (RFC 9457) and errors of the token service (RFC 6749 §5.2), whichever it is."""

    code: str = ""
    detail: str = ""
    title: str = ""
    request_id: str | None = None
    errors: list[_FieldProblem] = []
    error: str = ""
    error_description: str = ""
    error_uri: str = ""


class TokenGrant(msgspec.Struct):
    """The token service's answer. `access_token` is hidden at once by whoever decodes it."""

    access_token: str
    expires_in: float
    token_type: str = "Bearer"


class Reader(Generic[T]):
    """Decodes one kind of answer."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, answer: Answer) -> T | None:
        """The value, or None where the body is something else."""
        try:
            return self._decoder.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


_problems = Reader(_Problem)
_grants = Reader(TokenGrant)


def read_grant(answer: Answer) -> tuple[Hidden[str], float] | None:
    """Token and lifetime in seconds; None where this is no token for a `Bearer` header."""
    grant = _grants.read(answer)
    if grant is None or grant.token_type.lower() != "bearer" or not 0 < grant.expires_in < 1e9:
        return None
    # It goes into a header: what an HTTP library would refuse there it would also quote, in its exception's text.
    if not _VISIBLE.fullmatch(grant.access_token):
        return None
    return Hidden(grant.access_token), grant.expires_in


def trouble_of(outcome: Answer | Failure, *hidden: Hidden[str] | None) -> Trouble:
    """What went wrong. `hidden`: credentials of the call, masked wherever the answer quotes them."""
    if isinstance(outcome, Failure):
        code = UNREADABLE if outcome.kind == "unreadable" else NO_ANSWER
        return Trouble(code=code, detail=outcome.words, sent=outcome.sent)
    problem = _problems.read(outcome)
    code = _code_of(problem) if problem is not None else ""
    request_id = outcome.headers.get("x-request-id") or (problem.request_id if problem is not None else None)
    if problem is None or not code:
        return unreadable(outcome)
    detail = problem.detail or problem.error_description or problem.title or code.replace("_", " ")
    errors = ((_masked(each.field, hidden), _masked(each.detail, hidden)) for each in problem.errors)
    return Trouble(
        code=code,
        detail=_masked(detail, hidden),
        status=outcome.status,
        request_id=request_id,
        retry_after_seconds=retry_after(outcome.headers),
        errors=tuple(FieldProblem(*each) for each in errors),
    )


def unreadable(answer: Answer) -> Trouble:
    """An answer that is not of the contract: a proxy's page, a redirect, a success that is none."""
    kind = answer.headers.get("content-type", "no media type").partition(";")[0]
    words = f"An answer came that is not OmniLab's: status {answer.status}, {kind[:60]}."
    if 300 <= answer.status < 400:
        words += " Redirects are not followed; is base_url right?"
    return Trouble(
        code=UNREADABLE,
        detail=words,
        status=answer.status,
        request_id=answer.headers.get("x-request-id"),
        retry_after_seconds=retry_after(answer.headers),
    )


def wants_new_token(trouble: Trouble) -> bool:
    """Whether the call may succeed with a new token: any 401 but the hopeless ones, and `token_predates_grant`."""
    if trouble.status == 401:
        return trouble.code not in HOPELESS
    known = API_CODES.get(trouble.code)
    return known is not None and known.status == trouble.status and known.new_token_helps


def may_repeat(trouble: Trouble) -> bool:
    """Whether the same request may succeed later: no answer, 429, 5xx, or a code that says so."""
    status = trouble.status
    if status is None:
        return trouble.code == NO_ANSWER
    if status == 429 or status >= 500:
        return True
    known = API_CODES.get(trouble.code)
    return known is not None and known.status == status and known.retry


def retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds (RFC 9110 §10.2.3). A date counts from the answer's own `Date`, never our clock."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), MOST_RETRY_AFTER_SECONDS)
    return _seconds_between(headers.get("date", ""), text)


def _seconds_between(date: str, later: str) -> float | None:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - 15 ms of import for what hardly anybody sends

    try:
        seconds = (parsedate_to_datetime(later) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_SECONDS)


def _code_of(problem: _Problem) -> str:
    """Our finer code of a token refusal stands at the end of its `error_uri`."""
    for text in (problem.code, problem.error_uri.rstrip("/").rpartition("/errors/")[2], problem.error):
        if _CODE.fullmatch(text):
            return text
    return ""


def _masked(text: str, hidden: tuple[Hidden[str] | None, ...]) -> str:
    for each in hidden:
        if each:
            text = text.replace(each.reveal(), "…")
    return _CREDENTIAL.sub("…", text)[:1000]
