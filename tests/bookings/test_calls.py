"""The Booking API as callers meet it, over HTTP."""

from __future__ import annotations

import itertools
import json
import sqlite3
from typing import Any

import httpx
import pytest

from tests.conftest import Served
from tests.harness.server import bearer

LIST = "/v1/interactions:fetchContactBookings"
CANCEL = "/v1/interactions:cancelContactBooking"
CREATE = "/v1/interactions:createContactBooking"
FIELDS = [
    *("booking_id", "booking_status", "external_id", "interaction_id", "event_id", "event_title", "event_location"),
    *("slot_id", "slot_start_date", "slot_end_date", "ticket_type", "created_at", "cancelled_at", "checked_in_at"),
]
SECRET = "omni_dev_" + "a1B2c3D4e5F6" * 4 + "x"
_numbers = itertools.count(1000)


@pytest.fixture(scope="module")
def token(served: Served) -> str:
    return served.server.token(served.client)


class Api:
    """The calls with a token, and made-up bookings that no other test uses."""

    def __init__(self, served: Served, token: str) -> None:
        self.http = served.server.http
        self.auth = bearer(token)

    def list(self, query: str) -> httpx.Response:
        return self.http.get(f"{LIST}?{query}", headers=self.auth)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = self.auth | {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }  # fmt: skip
        return self.http.post(path, content=content, headers=sent)

    def create_body(self, **other: Any) -> dict[str, Any]:
        number = next(_numbers)
        return {
            "external_id": f"contact-{number}",
            "interaction_id": "spring",
            "event_id": "event-1",
            "slot_id": f"slot-{number}",
            "slot_start_date": "2026-12-01T10:00:00Z",
            "slot_end_date": "2026-12-01T11:00:00Z",
        } | other

    def booked(self, **other: Any) -> dict[str, Any]:
        answer = self.post(CREATE, self.create_body(**other))
        assert answer.status_code == 201, answer.text
        booking: dict[str, Any] = answer.json()
        return booking


@pytest.fixture
def api(served: Served, token: str) -> Api:
    return Api(served, token)


def which(booking: dict[str, Any]) -> dict[str, Any]:
    return {"external_id": booking["external_id"], "booking_id": booking["booking_id"]}


def problem(answer: httpx.Response, status: int, code: str) -> list[str]:
    """Check a refusal's form; returns the fields it names."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["request_id"] == answer.headers["x-request-id"]
    return [error["field"] for error in body.get("errors", [])]


def test_a_list_has_the_documented_members_in_order(api: Api) -> None:
    answer = api.list("external_id=contact-1")
    page = answer.json()
    assert answer.status_code == 200
    assert list(page) == ["bookings", "page_number", "page_size", "total_count"]
    assert (page["page_number"], page["page_size"], page["total_count"]) == (1, 50, 3)
    assert [list(booking) for booking in page["bookings"]] == [FIELDS] * 3
    assert page["bookings"][0]["slot_start_date"] == "2030-01-02T10:00:00Z"


def test_an_unknown_contact_has_no_bookings(api: Api) -> None:
    answer = api.list("external_id=nobody")
    assert (answer.status_code, answer.json()) == (
        200,
        {"bookings": [], "page_number": 1, "page_size": 50, "total_count": 0},
    )


@pytest.mark.parametrize(
    "statuses",
    [
        "booking_status=CANCELLED&booking_status=CONFIRMED",
        "booking_status[]=CANCELLED&booking_status[]=CONFIRMED",
        "booking_status%5B%5D=CANCELLED&booking_status%5B%5D=CONFIRMED",
        "booking_status[0]=CANCELLED&booking_status[1]=CONFIRMED",
        "booking_status=CANCELLED,CONFIRMED",
        "booking_status=CANCELED,CONFIRMED",
        "booking_status=CONFIRMED%2CCANCELED&booking_status=CANCELLED",
    ],
)
def test_statuses_may_be_written_as_libraries_write_lists(api: Api, statuses: str) -> None:
    first = api.booked()
    second = api.booked(external_id=first["external_id"])
    api.post(CANCEL, which(second))
    page = api.list(f"external_id={first['external_id']}&{statuses}").json()
    assert {booking["booking_id"] for booking in page["bookings"]} == {first["booking_id"], second["booking_id"]}
    assert api.list(f"external_id={first['external_id']}&booking_status=WAITLISTED").json()["total_count"] == 0


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("starts_after=2026-12-01T09:59:59Z", 1),
        ("starts_after=2026-12-01T10:00:00Z", 0),
        ("starts_before=2026-12-01T10:00:00Z", 0),
        ("starts_before=2026-12-01T10:00:01Z", 1),
        ("starts_after=2026-12-01T11:59:59+02:00", 1),
        ("starts_after=2026-12-01T11:59:59%2B02:00", 1),
        ("starts_after=2026-12-01T11:59:59%2002:00", 1),
        ("starts_after=2026-12-01T12:00:00+02:00", 0),
        ("starts_after=2026-12-01T06:59:59-03:00", 1),
        ("interaction_id=spring", 1),
        ("interaction_id=autumn", 0),
        ("booking_id=none", 0),
        ("page_number=2", 1),
        ("page_number=9007199254740993&page_size=200", 1),
    ],
)
def test_filters(api: Api, query: str, count: int) -> None:
    booking = api.booked()
    answer = api.list(f"external_id={booking['external_id']}&{query}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["total_count"] == count


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "parameter_invalid", "external_id"),
        ("external_id=", "parameter_invalid", "external_id"),
        ("external_id=" + "x" * 256, "parameter_invalid", "external_id"),
        ("external_id=a%00b", "parameter_invalid", "external_id"),
        ("external_id=a%0Ab", "parameter_invalid", "external_id"),
        ("external_id=a%C2%85b", "parameter_invalid", "external_id"),
        (f"external_id={SECRET}", "parameter_invalid", "external_id"),
        ("external_id=a&external_id=a", "parameter_invalid", "external_id"),
        ("external_id=%FF", "request_malformed", "external_id"),
        ("external_id=%zz", "request_malformed", "external_id"),
        ("external_id=a&interaction_id=", "parameter_invalid", "interaction_id"),
        ("external_id=a&booking_status=", "parameter_invalid", "booking_status"),
        ("external_id=a&booking_status=confirmed", "parameter_invalid", "booking_status"),
        ("external_id=a&booking_status=CONFIRMED,", "parameter_invalid", "booking_status"),
        ("external_id=a&page_size=0", "parameter_invalid", "page_size"),
        ("external_id=a&page_size=201", "parameter_invalid", "page_size"),
        ("external_id=a&page_size=ten", "parameter_invalid", "page_size"),
        ("external_id=a&page_size=1.0", "parameter_invalid", "page_size"),
        ("external_id=a&page_number=0", "parameter_invalid", "page_number"),
        ("external_id=a&page_number=-1", "parameter_invalid", "page_number"),
        ("external_id=a&page_number=99999999999999999999", "parameter_invalid", "page_number"),
        ("external_id=a&starts_after=2026-12-01", "parameter_invalid", "starts_after"),
        ("external_id=a&starts_before=yesterday", "parameter_invalid", "starts_before"),
        ("external_id=a&pagesize=5", "parameter_unknown", "pagesize"),
        ("external_id=a&status=CONFIRMED", "parameter_unknown", "status"),
        ("external_id=a&external_id[]=b", "parameter_unknown", "external_id[]"),
    ],
)
def test_a_bad_query_is_refused_naming_the_field(api: Api, query: str, code: str, field: str) -> None:
    answer = api.list(query)
    assert problem(answer, 400, code) == [field]
    assert SECRET not in answer.text


def test_every_bad_parameter_is_named_at_once_and_the_nearest_known_one(api: Api) -> None:
    answer = api.list("externalid=a&page_size=0&starts_after=x")
    assert problem(answer, 400, "parameter_unknown") == ["externalid", "external_id", "starts_after", "page_size"]
    assert "did you mean external_id?" in answer.text


def test_ids_are_any_text(api: Api) -> None:
    contact = "Zoë Ångström+1@пример.рф 🎟 100% &="
    booking = api.booked(external_id=contact)
    page = api.http.get(LIST, params={"external_id": contact}, headers=api.auth).json()
    assert [each["booking_id"] for each in page["bookings"]] == [booking["booking_id"]]
    assert page["bookings"][0]["external_id"] == contact


def test_cancel_then_list_then_cancel_again(api: Api) -> None:
    booking = api.booked()
    answer = api.post(CANCEL, which(booking) | {"reason": "Changed plans,\nsorry"})
    cancelled = answer.json()
    assert (answer.status_code, cancelled["booking_status"]) == (200, "CANCELLED")
    assert cancelled | {"booking_status": "CONFIRMED", "cancelled_at": None} == booking
    assert api.list(f"external_id={booking['external_id']}").json()["bookings"] == [cancelled]
    assert problem(api.post(CANCEL, which(booking)), 409, "booking_already_cancelled") == []


def test_the_alias_is_the_same_call(api: Api) -> None:
    booking = api.booked()
    first = api.post("/v1/interactions:cancelBooking", which(booking), Idempotency_Key="alias-1")
    second = api.post("/v1/interactions%3AcancelContactBooking", which(booking), Idempotency_Key="alias-1")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


def test_another_contacts_booking_is_the_same_as_none(api: Api) -> None:
    booking = api.booked()
    told = [
        api.post(CANCEL, {"external_id": "contact-1", "booking_id": booking["booking_id"]}),
        api.post(CANCEL, {"external_id": "contact-1", "booking_id": "none"}),
    ]
    for answer in told:
        problem(answer, 404, "booking_not_found")
    bodies = [answer.json() | {"request_id": ""} for answer in told]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize(
    ("other", "code", "field"),
    [
        ({"external_id": None}, "parameter_invalid", "external_id"),
        ({"external_id": ""}, "parameter_invalid", "external_id"),
        ({"external_id": 7}, "parameter_invalid", "external_id"),
        ({"external_id": "a\nb"}, "parameter_invalid", "external_id"),
        ({"external_id": "x" * 256}, "parameter_invalid", "external_id"),
        ({"slot_id": SECRET}, "parameter_invalid", "slot_id"),
        ({"event_title": f"Bearer {SECRET}"}, "parameter_invalid", "event_title"),
        ({"event_title": "\x01"}, "parameter_invalid", "event_title"),
        ({"event_title": ["a"]}, "parameter_invalid", "event_title"),
        ({"booking_id": "a\tb"}, "parameter_invalid", "booking_id"),
        ({"slot_start_date": "2026-12-01"}, "parameter_invalid", "slot_start_date"),
        ({"slot_start_date": 1764583200}, "parameter_invalid", "slot_start_date"),
        ({"slot_start_date": "2026-12-01T10:00:00 02:00"}, "parameter_invalid", "slot_start_date"),
        ({"slot_end_date": "2026-12-01T09:00:00Z"}, "parameter_invalid", "slot_end_date"),
        ({"slot_capacity": 0}, "parameter_invalid", "slot_capacity"),
        ({"slot_capacity": 1.5}, "parameter_invalid", "slot_capacity"),
        ({"slot_capacity": "10"}, "parameter_invalid", "slot_capacity"),
        ({"slot_capacity": True}, "parameter_invalid", "slot_capacity"),
        ({"slot_capacity": 10**30}, "parameter_invalid", "slot_capacity"),
        ({"slotid": "x"}, "parameter_unknown", "slotid"),
    ],
)
def test_a_bad_body_is_refused_naming_the_field(api: Api, other: dict[str, Any], code: str, field: str) -> None:
    answer = api.post(CREATE, api.create_body(**other))
    assert problem(answer, 400, code) == [field]
    assert SECRET not in answer.text


def test_all_required_fields_are_named_at_once(api: Api) -> None:
    fields = problem(api.post(CREATE, {}), 400, "parameter_invalid")
    assert fields == ["external_id", "interaction_id", "event_id", "slot_id", "slot_start_date", "slot_end_date"]
    assert problem(api.post(CANCEL, {"reason": "x" * 501}), 400, "parameter_invalid") == [
        "external_id", "booking_id", "reason",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "request_malformed"),
        (b"[]", 400, "request_malformed"),
        (b"{", 400, "request_malformed"),
        (b'{"external_id": "\xff"}', 400, "request_malformed"),
        (b'{"external_id": "a", "external_id": "b"}', 400, "request_malformed"),
        (b"[" * 5000, 400, "request_malformed"),
        (b'{"reason": "' + b"x" * 20_000 + b'"}', 413, "body_too_large"),
    ],
)
def test_a_body_that_cannot_be_read(api: Api, body: bytes, status: int, code: str) -> None:
    problem(api.post(CANCEL, body), status, code)


def test_a_write_takes_json_and_no_query(api: Api) -> None:
    body = which(api.booked())
    problem(api.post(CANCEL, body, Content_Type="text/plain"), 415, "media_type_unsupported")
    problem(api.post(f"{CANCEL}?dry_run=true", body), 400, "parameter_unknown")
    assert api.post(CANCEL, body, Content_Type="application/json; charset=utf-8").status_code == 200


def test_what_a_slot_allows(api: Api) -> None:
    body = api.create_body(slot_capacity=2)
    created = [api.post(CREATE, body | {"external_id": f"contact-{number}"}) for number in range(3)]
    assert [answer.status_code for answer in created] == [201, 201, 409]
    problem(created[2], 409, "slot_full")
    left_open = {name: value for name, value in body.items() if name != "slot_capacity"}
    problem(api.post(CREATE, left_open), 409, "slot_full")
    for changed in ({"slot_capacity": 3}, {"slot_capacity": None}, {"event_id": "other"}):
        problem(api.post(CREATE, body | changed), 409, "slot_mismatch")
    api.post(CANCEL, which(created[0].json()))
    again = left_open | {"booking_id": created[1].json()["booking_id"]}
    problem(api.post(CREATE, again), 409, "booking_exists")
    assert api.post(CREATE, left_open).status_code == 201


def test_a_repeated_create_is_replayed_byte_for_byte(api: Api) -> None:
    body = api.create_body()
    first = api.post(CREATE, body, Idempotency_Key="create-1")
    reordered = json.dumps(dict(reversed(body.items())), indent=1).encode()
    second = api.post(CREATE, reordered, Idempotency_Key="create-1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert (first.headers.get("idempotency-replayed"), second.headers["idempotency-replayed"]) == (None, "true")
    problem(api.post(CREATE, body | {"event_title": "x"}, Idempotency_Key="create-1"), 422, "idempotency_key_reused")
    assert api.list(f"external_id={body['external_id']}").json()["total_count"] == 1


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256, SECRET])
def test_a_bad_idempotency_key_is_refused(api: Api, key: str) -> None:
    sent = api.auth | {"Content-Type": "application/json"}
    headers = [*sent.items(), ("Idempotency-Key", key.encode("latin-1"))]
    answer = api.http.post(CREATE, content=json.dumps(api.create_body()), headers=headers)  # type: ignore[arg-type]
    assert problem(answer, 400, "parameter_invalid") == ["Idempotency-Key"]


def test_two_idempotency_keys_are_refused(api: Api) -> None:
    headers = [
        *api.auth.items(),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "a"),
        ("Idempotency-Key", "b"),
    ]
    problem(api.http.post(CREATE, content=json.dumps(api.create_body()), headers=headers), 400, "request_malformed")


def test_a_write_is_in_the_audit_and_its_contact_only_as_an_hmac(api: Api, served: Served) -> None:
    body = api.create_body(external_id="a-person-we-know", event_title="a-title-for-people")
    answers = [
        api.post(CREATE, body, Idempotency_Key="audited-1"),
        api.post(CREATE, body, Idempotency_Key="audited-1"),
    ]
    answers.append(api.post(CANCEL, which(answers[0].json()) | {"reason": "a-reason-of-a-person"}))
    answers.append(api.post(CANCEL, which(answers[0].json())))
    records = [record(served, answer) for answer in answers]
    assert [(each["endpoint"], each["outcome"]) for each in records] == [
        ("bookings:create", "granted"), ("bookings:create", "granted"),
        ("bookings:cancel", "granted"), ("bookings:cancel", "refused"),
    ]  # fmt: skip
    assert len({each["details"]["contact"] for each in records[:3]}) == 1
    assert records[1]["details"]["replayed"] == 1
    assert records[3]["code"] == "booking_already_cancelled"
    kept = json.dumps(records) + served.server.log
    assert not any(text in kept for text in ("a-person-we-know", "a-title-for-people", "a-reason-of-a-person"))


def record(served: Served, answer: httpx.Response) -> dict[str, Any]:
    """The one record of an answer, straight from the database: it was durable before the answer came."""
    connection = sqlite3.connect(next(served.omnilab.directory.rglob("*.db")))
    try:
        request_id = answer.headers["x-request-id"]
        rows = connection.execute("SELECT body FROM audit_records WHERE request_id = ?", (request_id,)).fetchall()
    finally:
        connection.close()
    assert len(rows) == 1
    kept: dict[str, Any] = json.loads(rows[0][0])
    return {"details": {}, "code": None} | kept
