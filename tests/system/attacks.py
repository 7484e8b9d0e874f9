"""Requests that name what is another tenant's, made up for any call from what the call itself says it takes.

A request is a draft first: where a value of a tenant belongs stands a `Slot`, to be filled with the victim's or with a
stranger's. A field, or a kind of parameter, that is not described here stops the test: somebody has to say what an
attacker would put there.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st

from omnilab.web.operation import Operation
from tests.system.rivals import CHOSEN, END, OF_EACH, START, Rival


@dataclass(frozen=True)
class Slot:
    """A value of the other tenant, or of the sender itself (`own`); `form` is what stands around it."""

    name: str
    own: bool = False
    form: str = "{}"


@dataclass(frozen=True)
class Draft:
    """A request before its slots are filled. A body is a mapping; `form` sends it as a form."""

    method: str
    path: tuple[Slot | str, ...]
    headers: tuple[tuple[str, Slot | str], ...] = ()
    query: tuple[tuple[str, Slot | str], ...] = ()
    body: tuple[tuple[str, Slot | Any], ...] | None = None
    as_form: bool = False


@dataclass
class Filled:
    """A request as it is sent; `said` is all text in it."""

    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    query: list[tuple[str, str]] = field(default_factory=list)
    body: dict[str, Any] | None = None
    as_form: bool = False

    @property
    def said(self) -> str:
        return json.dumps([self.url, self.headers, self.query, self.body], ensure_ascii=False)

    def parameters(self) -> dict[str, Any]:
        """As httpx wants it."""
        body = {} if self.body is None else {"data" if self.as_form else "json": self.body}
        return {"method": self.method, "url": self.url, "headers": self.headers, "params": self.query or None} | body


def _other(*names: str) -> st.SearchStrategy[Slot | str]:
    return st.sampled_from([Slot(name) for name in names])


def _chosen(kind: str) -> st.SearchStrategy[Slot | str]:
    assert kind in CHOSEN
    other = [Slot(f"{kind}/{number}") for number in range(OF_EACH)]
    return st.sampled_from([*other, Slot(f"{kind}/0", own=True)])


def _plain(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


_NAMES = ("client_id", "secret_id", "reader_id", "legacy_id", "audience", "host", "tenant", "tenant_id")
# What an attacker puts into each field of any call's query or body.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **{kind: _chosen(kind) for kind in ("external_id", "interaction_id", "event_id")},
    # Its own booking and slot would be changed by the first of two requests, which the second would notice.
    "booking_id": _other(*(f"booking_id/{number}" for number in range(OF_EACH))),
    "slot_id": _other(*(f"slot_id/{number}" for number in range(OF_EACH))),
    "event_title": _other("words/0", "words/1"),
    "event_location": _other("words/0", "tenant"),
    "ticket_type": _other("words/2"),
    "reason": _other("words/1", "client_id"),
    "booking_status": _plain("CONFIRMED", "CANCELLED", "CONFIRMED,WAITLISTED"),
    "starts_after": _plain("2000-01-01T00:00:00Z"),
    "starts_before": _plain("2100-01-01T00:00:00Z"),
    "slot_start_date": _plain(START),
    "slot_end_date": _plain(END),
    "slot_capacity": _plain(None, 5),
    "page_size": _plain("1", "200"),
    "page_number": _plain("1", "2"),
    "grant_type": _plain("client_credentials", "client_credentials", "client_credentials", "password"),
    "client_id": st.one_of(_other("client_id", "reader_id", "legacy_id"), _plain(Slot("client_id", own=True))),
    # A guess at a secret is as good as any other: what is random in it the attacker does not have.
    "client_secret": _plain(Slot("client_secret", own=True), Slot("tenant_id", form="not-the-secret-of-{}")),
    "audience": st.one_of(_other("audience"), _plain(Slot("audience", own=True))),
    "resource": _other("audience"),
    "scope": _plain("bookings:read", "bookings:read bookings:create"),
    # A token of the other is nothing an attacker has; what one gets who has it stands in tests/tokens/test_token_calls.
    "token": _plain(Slot("tenant_id", form="not-the-token-of-{}"), Slot("client_id", form="forged")),
    "token_type_hint": _plain("access_token", "refresh_token"),
}

_HOSTS = st.one_of(_other("host"), _plain(Slot("host", form="{}:443"), Slot("host", own=True)))
_HEADERS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server"), _other("host")),
    "Forwarded": _plain(Slot("host", form="for=192.0.2.1;host={};proto=https")),
    "X-Forwarded-For": _plain("192.0.2.99"),
    **dict.fromkeys(("X-Tenant", "X-Tenant-Id"), _other("tenant", "tenant_id")),
    **dict.fromkeys(("X-Client-Id", "X-User"), _other("client_id", "reader_id")),
    **dict.fromkeys(("X-Request-Id", "Cookie", "Referer", "traceparent"), _other(*_NAMES)),
    **dict.fromkeys(("X-Original-URL", "X-Rewrite-URL"), _plain("/v1/oauth:whoami")),
    "X-HTTP-Method-Override": _plain("POST", "DELETE"),
    "Idempotency-Key": _chosen("idempotency_key"),
}
_STRAY = ("tenant", "tenant_id", "client_id", "secret_id", "host")


def _forged(claim: str) -> Slot:
    return Slot(claim, form="forged")


_TOKENS = [Slot("token", own=True, form="Bearer {}"), Slot("reader_token", own=True, form="Bearer {}")]
_AUTHORIZATIONS = [*_TOKENS[:1] * 5, *_TOKENS, _forged("client_id"), Slot("client_id", form="Basic")]


def _fields_of(struct: type | None) -> tuple[msgspec.structs.FieldInfo, ...]:
    return () if struct is None else msgspec.structs.fields(struct)


def undescribed(operation: Operation) -> set[str]:
    """The fields of a call of which this module does not say what an attacker puts there."""
    named = {each.encode_name for struct in (operation.parameters, operation.body) for each in _fields_of(struct)}
    return named - FIELDS.keys()


@st.composite
def _filled_in(draw: st.DrawFn, struct: type | None, *, always: str = "") -> tuple[tuple[str, Any], ...]:
    """All required fields, the one named `always`, some of the others, seldom one that belongs nowhere."""
    pairs = [
        (each.encode_name, draw(FIELDS[each.encode_name]))
        for each in _fields_of(struct)
        if each.required or each.encode_name == always or draw(st.integers(0, 3)) == 0
    ]
    if draw(st.integers(0, 7)) == 0:
        pairs.append((draw(st.sampled_from(_STRAY)), draw(_other(*_NAMES))))
    return tuple(pairs)


@st.composite
def drafts_of(draw: st.DrawFn, operation: Operation) -> Draft:
    """A request to this call, with the other tenant's values wherever it takes a value."""
    names = draw(st.lists(st.sampled_from(sorted(_HEADERS)), min_size=1, max_size=10, unique=True))
    headers = [(name, draw(_HEADERS[name])) for name in names]
    if draw(st.integers(0, 3)) == 0:
        headers.append(("Host", draw(_HOSTS)))
    if operation.protected or draw(st.integers(0, 5)) == 0:
        headers.append(("Authorization", draw(st.sampled_from(_AUTHORIZATIONS))))
    elif operation.body is not None and draw(st.integers(0, 3)) == 0:
        headers.append(("Authorization", Slot("client_id", form="Basic")))
    is_write = operation.method != "GET"
    query = draw(_filled_in(operation.parameters)) if operation.parameters or draw(st.integers(0, 9)) == 0 else ()
    return Draft(
        method=operation.method,
        path=_paths(draw, operation.path),
        headers=tuple(headers),
        query=query,
        # An id that the service makes would sort the lists of spy and twin differently.
        body=draw(_filled_in(operation.body, always="booking_id")) if is_write else None,
        as_form=operation.error_format == "oauth" and draw(st.booleans()),
    )


def _paths(draw: st.DrawFn, path: str) -> tuple[Slot | str, ...]:
    """Nearly always the path itself; sometimes one that names the tenant or the booking."""
    if draw(st.integers(0, 7)):
        return (path,)
    around = ("/", Slot("tenant"), path), (path, "/", Slot("booking_id/0")), (path.replace(":", "%3A"),)
    return draw(st.sampled_from([*around, (path, "?tenant=", Slot("tenant_id"))]))


def fill(draft: Draft, sender: Rival, other: Rival) -> Filled:
    """The request as `sender` sends it, with the values of `other`."""

    def text(value: Slot | Any) -> Any:
        if not isinstance(value, Slot):
            return value
        held = _value_of(sender if value.own else other, value.name)
        if value.form == "Basic":
            return "Basic " + base64.b64encode(f"{held}:{sender.client['client_secret']}".encode()).decode()
        return forged(sender.token, held, other.tenant) if value.form == "forged" else value.form.format(held)

    return Filled(
        method=draft.method,
        url="".join(text(part) for part in draft.path),
        headers=[(name, text(value)) for name, value in draft.headers],
        query=[(name, str(text(value))) for name, value in draft.query],
        body=None if draft.body is None else {name: text(value) for name, value in draft.body},
        as_form=draft.as_form,
    )


def _value_of(rival: Rival, name: str) -> str:
    secret_things = {
        "token": rival.token,
        "reader_token": rival.reader_token,
        "client_secret": rival.client["client_secret"],
    }
    return secret_things[name] if name in secret_things else rival.names()[name]


def forged(token: str, client_id: str, tenant: str) -> str:
    """The sender's own token that now says to be another's: everything fits but the signature."""
    head, claims, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    said |= {"sub": client_id, "client_id": client_id, "tenant": tenant, "aud": f"https://{tenant}.api.example.com"}
    return f"Bearer {head}.{base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip('=')}.{signature}"
