"""How the fake answers: the calls of the contract, read as the platform reads them where callers can notice."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from omnilab.client.bookings import CANCEL_PATH, LIST_PATH, WHOAMI_PATH
from omnilab.client.codes import API_CODES, TOKEN_CODES
from omnilab.client.results import Booking
from omnilab.client.testing.fake_http import Question, Reply
from omnilab.client.testing.fake_state import CANCELLABLE, FakeState
from omnilab.client.token_source import TOKEN_PATH

CALLS = {TOKEN_PATH: "token", LIST_PATH: "list", CANCEL_PATH: "cancel", WHOAMI_PATH: "whoami"}
_METHODS = {"token": "POST", "list": "GET", "cancel": "POST", "whoami": "GET"}
_GRANTS = {"list": "bookings:read", "cancel": "bookings:cancel"}
_ALIASES = {"booking_status[]": "booking_status", "CANCELED": "CANCELLED"}
_FILTERS = ("interaction_id", "booking_id", "booking_status", "starts_after", "starts_before")
_KNOWN = {"external_id", "page_size", "page_number", *_FILTERS}
_OAUTH = {400: "invalid_request", 401: "invalid_client", 429: "slow_down", 503: "temporarily_unavailable"}
_DOCS = "http://omnilab.localhost/docs/errors/"


class _Refused(Exception):  # noqa: N818 - it is an answer, and never leaves this file
    def __init__(self, code: str, field: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.field = field


def name_of(question: Question) -> str:
    """`token`, `list`, `cancel`, `whoami`, or "" for another path."""
    path = question.target.partition("?")[0].replace("%3A", ":").replace("%3a", ":")
    return CALLS.get(path.replace(":cancelBooking", ":cancelContactBooking"), "")


def carry_out(fake: FakeState, call: str, question: Question, request_id: str) -> Reply:
    """The platform's answer."""
    try:
        if not call:
            raise _Refused("not_found")
        if question.method != _METHODS[call]:
            raise _Refused("method_not_allowed")
        if call == "token":
            return _token(fake, question, request_id)
        _check_token(fake, call, question)
        return {"list": _list, "cancel": _cancel, "whoami": _whoami}[call](fake, question, request_id)
    except _Refused as refused:
        return refusal(refused.code, request_id, is_token=call == "token", field=refused.field)


def refusal(code: str, request_id: str, *, is_token: bool, wait: int | None = None, field: str = "") -> Reply:
    """The platform's answer with an error code. wait: `Retry-After`; 1 where the code invites to repeat."""
    status = TOKEN_CODES[code] if is_token else API_CODES[code].status
    words = f"The fake answers {code}."
    if wait is None and (status in (429, 503) or (not is_token and API_CODES[code].retry)):
        wait = 1
    headers = {} if wait is None else {"Retry-After": str(wait)}
    if is_token:
        oauth = {"error": _OAUTH.get(status, "invalid_request"), "error_description": words}
        return _reply(status, oauth | {"error_uri": _DOCS + code, "request_id": request_id}, request_id, headers)
    problem = {"type": _DOCS + code, "title": words, "status": status, "detail": words, "code": code}
    errors = {"errors": [{"field": field, "detail": words}]} if field else {}
    return _reply(status, problem | {"request_id": request_id} | errors, request_id, headers)


def code_in(reply: Reply) -> str:
    """The error code of an answer, "" where it has none."""
    if not reply.body or reply.status < 400:
        return ""
    body = msgspec.json.decode(reply.body)
    return str(body.get("code") or body["error_uri"].rpartition("/")[2])


def _token(fake: FakeState, question: Question, request_id: str) -> Reply:
    given = _json(question)
    for name in ("client_id", "client_secret", "audience", "grant_type"):
        if not given.get(name):
            raise _Refused("credential_missing" if name.startswith("client_") else "parameter_missing", name)
    if given["grant_type"] != "client_credentials":
        raise _Refused("grant_type_unsupported")
    if (given["client_id"], given["client_secret"]) != (fake.client_id, fake.client_secret):
        raise _Refused("client_authentication_failed")
    if given["audience"] != fake.audience:
        raise _Refused("audience_unknown")
    grant = {"access_token": fake.tokens.issue(fake.lifetime_seconds), "token_type": "Bearer"}
    return _reply(200, grant | {"expires_in": fake.lifetime_seconds}, request_id)


def _check_token(fake: FakeState, call: str, question: Question) -> None:
    scheme, _, token = question.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _Refused("token_missing")
    code = fake.tokens.code_of(token)
    if code:
        raise _Refused(code)
    if call in _GRANTS and _GRANTS[call] not in fake.allowed:
        raise _Refused("endpoint_not_enabled")


def _whoami(fake: FakeState, _question: Question, request_id: str) -> Reply:
    answer = {
        "client_id": fake.client_id,
        "tenant": fake.tenant,
        "environment": "development",
        "audience": fake.audience,
        "allowed": fake.allowed,
        "token_expires_at": "2026-01-01T01:00:00Z",
        "secret_id": "sec_fake",
        "secret_expires_at": None,
        "quotas": {"token": {"client": None, "tenant": None}, "api": {"client": None, "tenant": None}},
    }
    return _reply(200, answer, request_id)


def _list(fake: FakeState, question: Question, request_id: str) -> Reply:
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(question.target.partition("?")[2], keep_blank_values=True):
        query.setdefault(_ALIASES.get(name, name), []).extend(value.split(",") if "status" in name else [value])
    for name, values in query.items():
        if name not in _KNOWN:
            raise _Refused("parameter_unknown", name)
        if not all(values) or (len(values) > 1 and name != "booking_status"):
            raise _Refused("parameter_invalid", name)
    if "external_id" not in query:
        raise _Refused("parameter_invalid", "external_id")
    size, number = _whole(query, "page_size", 50, 200), _whole(query, "page_number", 1, 10**9)
    found = [each for each in fake.store.all() if _matches(each, query)]
    page = found[(number - 1) * size : number * size]
    answer = {"bookings": page, "page_number": number, "page_size": size, "total_count": len(found)}
    return _reply(200, answer, request_id)


def _whole(query: dict[str, list[str]], name: str, default: int, most: int) -> int:
    text = query.get(name, [str(default)])[0]
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise _Refused("parameter_invalid", name)
    return int(text)


def _matches(booking: Booking, query: dict[str, list[str]]) -> bool:
    for name in ("external_id", "interaction_id", "booking_id", "booking_status"):
        wanted = [_ALIASES.get(value, value) for value in query.get(name, ())]
        if wanted and getattr(booking, name) not in wanted:
            return False
    after, before = query.get("starts_after"), query.get("starts_before")
    starts_at = booking.slot_start_date
    return not (after and starts_at <= _time(after[0])) and not (before and starts_at >= _time(before[0]))


def _time(text: str) -> datetime:
    try:
        # A plus that was not percent-encoded has become a space.
        moment = msgspec.convert(text.replace(" ", "+"), type=datetime)
    except msgspec.ValidationError:
        raise _Refused("parameter_invalid") from None
    if moment.tzinfo is None:
        raise _Refused("parameter_invalid")
    return moment


def _cancel(fake: FakeState, question: Question, request_id: str) -> Reply:
    order = _json(question)
    for name in order:
        if name not in ("external_id", "booking_id", "reason"):
            raise _Refused("parameter_unknown", name)
    for name in ("external_id", "booking_id"):
        if not isinstance(order.get(name), str) or not order[name]:
            raise _Refused("parameter_invalid", name)
    key = question.headers.get("idempotency-key")
    first = fake.first_answers.get(("cancel", key)) if key is not None else None
    if first is not None:
        if msgspec.json.decode(first[0]) != order:
            raise _Refused("idempotency_key_reused")
        replayed = {"X-Request-Id": request_id, "Idempotency-Replayed": "true"}
        return Reply(200, {**first[1].headers, **replayed}, first[1].body)
    booking = fake.store.find(order["external_id"], order["booking_id"])
    if booking is None:
        raise _Refused("booking_not_found")
    if booking.booking_status not in CANCELLABLE:
        checked_in = booking.booking_status == "CHECKED_IN"
        raise _Refused("booking_checked_in" if checked_in else "booking_already_cancelled")
    reply = _reply(200, fake.store.cancel(booking), request_id)
    if key is not None:
        fake.first_answers["cancel", key] = question.body, reply
    return reply


def _json(question: Question) -> dict[str, Any]:
    if question.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise _Refused("media_type_unsupported")
    try:
        given: dict[str, Any] = msgspec.json.decode(question.body, type=dict)
    except msgspec.DecodeError:
        raise _Refused("request_malformed") from None
    return given


def _reply(status: int, answer: object, request_id: str, headers: dict[str, str] | None = None) -> Reply:
    is_problem = status >= 400 and isinstance(answer, dict) and "code" in answer
    kind = "problem+json" if is_problem else "json"
    told = {"Content-Type": f"application/{kind}", "X-Request-Id": request_id} | (headers or {})
    return Reply(status, told, msgspec.json.encode(answer))
