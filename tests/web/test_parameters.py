"""Queries and bodies: what is meant is read, anything else is refused with every bad field named."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from omnilab.errors import RequestError
from omnilab.web.exchange import Exchange
from omnilab.web.parameters import JsonReader, QueryReader
from omnilab.web.strict_json import json_object
from tests.web.driver import World, operation

SECRET = "omni_prd_" + "aB3dE5fG7h" * 4 + "abc000xyz"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwcyJ9.c2lnbmF0dXJl"


class Even:
    """A value type of one's own."""

    def __init__(self, number: int) -> None:
        self.number = number


def decode_value(kind: type, value: Any) -> Any:
    if not str(value).isdigit() or int(value) % 2:
        raise ValueError("must be an even number")
    return Even(int(value))


class Query(msgspec.Struct):
    external_id: Annotated[str, Meta(min_length=1, max_length=255)]
    booking_status: list[Literal["CONFIRMED", "WAITLISTED"]] = []
    page_size: Annotated[int, Meta(ge=1, le=200)] = 50
    even: Even | None = None
    deep: bool = False
    interaction_id: str | None = None


class Body(msgspec.Struct):
    external_id: Annotated[str, Meta(min_length=1, max_length=255)]
    reason: Annotated[str, Meta(max_length=500)] | None = None
    capacity: Annotated[int, Meta(ge=0)] | None = None
    tags: list[str] = []
    code: Annotated[str, Meta(pattern="^[a-z]+$", extra={"words": "must be lower-case letters"})] = "a"


QUERY = QueryReader(Query, decode_value=decode_value)
BODY = JsonReader(Body)


def refused_query(query: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        QUERY.read(query)
    return caught.value


def refused_body(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        BODY.decode(body)
    return caught.value


def fields(error: RequestError) -> dict[str, str]:
    return {bad.field: bad.detail for bad in error.errors}


def test_a_query_is_read() -> None:
    found = QUERY.read(b"external_id=a%20b+c%2B&page_size=7&even=4&deep=true&&interaction_id=null")
    assert (found.external_id, found.page_size, found.deep, found.interaction_id) == ("a b c+", 7, True, "null")
    assert found.even is not None
    assert found.even.number == 4


@pytest.mark.parametrize(
    "spelling",
    [
        "booking_status=CONFIRMED&booking_status=WAITLISTED",
        "booking_status=CONFIRMED,WAITLISTED",
        "booking_status[]=CONFIRMED&booking_status[]=WAITLISTED",
        "booking_status[0]=CONFIRMED&booking_status[1]=WAITLISTED",
        "booking_status%5B0%5D=CONFIRMED&booking_status%5B1%5D=WAITLISTED",
    ],
)
def test_lists_are_spelt_in_many_ways(spelling: str) -> None:
    assert QUERY.read(f"external_id=a&{spelling}".encode()).booking_status == ["CONFIRMED", "WAITLISTED"]


@pytest.mark.parametrize(
    ("query", "code", "expected"),
    [
        (b"", "parameter_invalid", {"external_id": "is required"}),
        (b"external_id=", "parameter_invalid", {"external_id": "is empty; leave it out or give it a value"}),
        (b"external_id", "parameter_invalid", {"external_id": "is empty; leave it out or give it a value"}),
        (
            b"external_id=a&external_id=a",
            "parameter_invalid",
            {"external_id": "is given more than once; send it once"},
        ),
        (
            b"external_id=a&page_size=201&even=3&deep=yes&booking_status=MAYBE",
            "parameter_invalid",
            {
                "page_size": "must be a whole number from 1 to 200",
                "even": "must be an even number",
                "deep": "must be true or false",
                "booking_status": "must be one of CONFIRMED, WAITLISTED",
            },
        ),
        (
            b"external_id=a&page_size=1.0",
            "parameter_invalid",
            {"page_size": "must be a whole number from 1 to 200"},
        ),
        (b"external_id=a&Page-Size=5", "parameter_unknown", {"Page-Size": "is not known; did you mean page_size?"}),
        (b"external_id=a&zzz=5", "parameter_unknown", {"zzz": "is not known here"}),
        (b"external_id[]=a", "parameter_unknown", None),
        (
            b"external_id=" + b"x" * 256,
            "parameter_invalid",
            {"external_id": "must be a string from 1 to 255 characters"},
        ),
        (b"external_id=%zz", "request_malformed", None),
        (b"external_id=%f", "request_malformed", None),
        (b"external_id=%ff", "request_malformed", None),
        (b"external_id=\xff", "request_malformed", None),
        (b"external_id=a%00b", "parameter_invalid", {"external_id": "has control characters; leave them out"}),
        (b"external_id=a%C2%85b", "parameter_invalid", {"external_id": "has control characters; leave them out"}),
    ],
)
def test_bad_queries(query: bytes, code: str, expected: dict[str, str] | None) -> None:
    error = refused_query(query)
    assert error.code == code
    assert error.check == "parameters"
    if expected is not None:
        assert fields(error) == expected


@pytest.mark.parametrize("credential", [SECRET, TOKEN, "Bearer " + TOKEN, "Basic Y2xpOnNlY3JldDEyMw=="])
def test_credentials_are_never_taken_for_values(credential: str) -> None:
    for error in (
        refused_query(urlencode({"external_id": credential}).encode()),
        refused_query(urlencode({credential: "1", "external_id": "a"}).encode()),
        refused_query(f"external_id=%zz&x={quote(credential)}".encode()),
        refused_body(json.dumps({"external_id": credential}).encode()),
        refused_body(json.dumps({"external_id": "a", "tags": [credential]}).encode()),
        refused_body(json.dumps({credential: "a"}).encode()),
    ):
        said = error.detail + error.found + error.expected + str(fields(error)) + error.reason
        assert credential[9:25] not in said


def test_hundreds_of_bad_parameters_are_told_in_part() -> None:
    error = refused_query(b"&".join(b"x%d=1" % number for number in range(5000)))
    assert len(error.errors) == 20
    assert len(error.detail) < 400
    error = refused_body(json.dumps({f"x{number}": 1 for number in range(2000)}).encode())
    assert len(error.errors) <= 40


def test_a_body_is_read() -> None:
    found = BODY.decode(
        '{"external_id": "é\\n", "reason": "two\\nlines", "tags": ["a", "b"], "capacity": null}'.encode()
    )
    assert (found.external_id, found.reason, found.tags, found.capacity) == ("é\n", "two\nlines", ["a", "b"], None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"[]", "no object"),
        (b'"x"', "no object"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON (at byte 4)"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"external_id": NaN}', "not valid JSON"),
        (b'{"external_id": "\\ud800"}', "not valid JSON"),
        (b'{"external_id": "a\x01"}', "not valid JSON"),
        (b'{"external_id": "\xe9"}', "not UTF-8 (at byte 17)"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "byte order mark"),
        ('{"a": 1}'.encode("utf-16-le"), "not valid JSON"),
        (b'{"external_id": "a", "external_id": "b"}', "twice"),
        (b'{"external_id": "a", "\\u0065xternal_id": "b"}', "twice"),
        (b'{"external_id": {"x": 1, "x": 2}}', "twice"),
        (b'{"external_id": "a\\u0000b"}', "NUL"),
        (b'{"external_id": ["a\\u0000b"]}', "NUL"),
        (b'{"a\\u0000": 1}', "NUL"),
        (b'{"external_id": ' + b"[" * 9 + b"]" * 9 + b"}", "nested"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "nested"),
        (b'{"a":' * 3000, "nested"),
        (b"[" * 16_000, "nested"),
    ],
)
def test_bad_bodies(body: bytes, words: str) -> None:
    error = refused_body(body)
    assert error.code == "request_malformed"
    assert words in error.detail
    assert error.check == "body"


def test_every_bad_field_of_a_body_is_named() -> None:
    error = refused_body(b'{"reason": 5, "capacity": -1, "externalId": "a", "code": "A", "tags": {}}')
    assert error.code == "parameter_unknown"
    assert fields(error) == {
        "externalId": "is not known; did you mean external_id?",
        "external_id": "is required",
        "reason": "must be a string of at most 500 characters",
        "capacity": "must be a whole number of at least 0",
        "code": "must be lower-case letters",
        "tags": "must be a string",
    }


def test_a_rule_over_several_fields_speaks_for_itself() -> None:
    class Range(msgspec.Struct):
        least: int
        most: int

        def __post_init__(self) -> None:
            if self.least > self.most:
                raise ValueError("least must not be above most")

    with pytest.raises(RequestError) as caught:
        JsonReader(Range).decode(b'{"least": 2, "most": 1}')
    assert caught.value.detail == "least must not be above most."


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Content-Type", "application/json")], 200),
        ([("Content-Type", "Application/JSON ; Charset=UTF-8")], 200),
        ([("Content-Type", 'application/json; charset="utf-8"')], 200),
        ([("Content-Type", "application/json; profile=x")], 200),
        ([("Content-Type", "application/json"), ("Content-Encoding", "identity")], 200),
        ([], 415),
        ([("Content-Type", "text/plain")], 415),
        ([("Content-Type", "application/x-www-form-urlencoded")], 415),
        ([("Content-Type", "application/json; charset=latin-1")], 415),
        ([("Content-Type", "application/json; charset")], 415),
        ([("Content-Type", "application/json"), ("Content-Encoding", "gzip")], 415),
        ([("Content-Type", "application/json"), ("Content-Type", "text/plain")], 400),
    ],
)
def test_media_types(headers: list[tuple[str, str]], status: int) -> None:
    async def handler(exchange: Exchange) -> None:
        body = await BODY.read(exchange)
        await exchange.answer(200, body.external_id.encode())

    world = World([operation(method="POST", handler=handler)])
    answer = world.send("POST", "/v1/things:list", headers=headers, body=b'{"external_id": "a"}')
    assert answer.status == status


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=5), st.booleans())
def test_strict_json_reads_what_json_reads(value: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    if "\\u0000" in text.replace("\\\\", ""):
        with pytest.raises(RequestError, match="NUL"):
            json_object(text.encode())
    else:
        assert json_object(text.encode()) == value


@given(st.lists(st.tuples(TEXT.filter(lambda text: "\0" not in text), JSON_VALUES), min_size=1, max_size=4), st.data())
def test_a_key_given_twice_is_always_found(pairs: list[tuple[str, Any]], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(pairs))[0]
    members = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in [*pairs, (again, data.draw(JSON_VALUES))]]
    with pytest.raises(RequestError):
        json_object(("{" + ", ".join(members) + "}").encode())


@given(st.binary(max_size=60))
def test_no_bytes_crash_a_reader(raw: bytes) -> None:
    for read in (QUERY.read, BODY.decode, json_object):
        with contextlib.suppress(RequestError):
            read(raw)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=255))
def test_any_external_id_survives_a_url_library(external_id: str) -> None:
    for query in (urlencode({"external_id": external_id}), "external_id=" + quote(external_id, safe="")):
        assert QUERY.read(query.encode()).external_id == external_id


def test_reading_is_the_same_in_an_event_loop() -> None:
    async def read() -> str:
        return QUERY.read(b"external_id=a").external_id

    assert asyncio.run(read()) == "a"
