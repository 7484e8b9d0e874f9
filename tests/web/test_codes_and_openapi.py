"""One list of codes, one table of statuses; the API document says what is routed."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

import msgspec
import pytest
from msgspec import Meta

from omnilab.codes import CHECKS, CODES
from omnilab.web.openapi import ApiInfo, openapi_document, openapi_operation
from omnilab.web.problems import API_STATUS, OAUTH_STATUS
from tests.web.driver import World, operation

INFO = ApiInfo(
    version="1.2.3", public_url="https://login.example", docs_url="https://docs.example", tenant_domain="omni.example"
)


def test_every_code_has_a_status_and_every_status_a_code() -> None:
    assert set(CODES) == set(API_STATUS) | set(OAUTH_STATUS)
    assert all(name == code.code for name, code in CODES.items())


def test_a_new_token_helps_exactly_where_the_contract_says() -> None:
    helps = {code.code for code in CODES.values() if code.new_token_helps}
    assert helps == {"token_expired", "token_revoked", "token_predates_grant"}
    retry = {code.code for code in CODES.values() if code.retry}
    waiting = {name for name, status in API_STATUS.items() if status in (429, 503)}
    waiting |= {name for name, (status, _) in OAUTH_STATUS.items() if status in (429, 503)}
    assert retry == waiting | {"idempotency_in_progress"}


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_words_are_whole_sentences(code) -> None:
    for text in (code.meaning, code.fix):
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")
        assert text.count("`") % 2 == 0
        assert "  " not in text
    assert not code.title.endswith(".")


def test_checks_have_no_name_twice() -> None:
    for names in CHECKS.values():
        assert len(set(names)) == len(names)


class ListThings(msgspec.Struct):
    external_id: Annotated[str, Meta(min_length=1, max_length=255, description="The contact.")]
    page_size: Annotated[int, Meta(ge=1, le=200)] = 50
    booking_status: list[str] = []
    even: str | None = None


class MakeThing(msgspec.Struct):
    external_id: str
    reason: str | None = None


class Thing(msgspec.Struct):
    thing_id: str
    thing_status: Annotated[str, Meta(examples=["CONFIRMED"])]


OPERATIONS = [
    operation("/v1/things:list", protected=True, endpoint="things:read", parameters=ListThings, answers={200: Thing}),
    operation(
        "/v1/things:make",
        "POST",
        protected=True,
        endpoint="things:make",
        body=MakeThing,
        answers={201: Thing},
        refusals=("slot_full",),
        idempotent_by_key=True,
    ),
    operation("/v1/things:create", "POST", hidden=True),
    operation(
        "/v1/oauth:token",
        "POST",
        error_format="oauth",
        body=MakeThing,
        body_media_types=("application/json", "application/x-www-form-urlencoded"),
        answers={200: {"type": "object"}},
        refusals=("credential_missing", "token_quota_exceeded"),
    ),
]


def test_the_document_and_the_routes_agree() -> None:
    document = openapi_document(OPERATIONS, INFO)
    routed = {(each.path, each.method.lower(), each.operation_id) for each in OPERATIONS if not each.hidden}
    described = {
        (path, method, call["operationId"])
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    }
    assert described == routed


def test_the_document_is_consistent() -> None:
    document = openapi_document(OPERATIONS, INFO)
    text = msgspec.json.encode(document).decode()
    for section, name in re.findall(r'"\$ref":"#/components/([A-Za-z]+)/([^"]+)"', text):
        assert name in document["components"][section]
    assert '"enum"' not in text
    assert document["openapi"] == "3.1.0"
    assert "ListThings" not in document["components"]["schemas"]


def test_a_query_is_described_from_its_struct() -> None:
    call = openapi_document(OPERATIONS, INFO)["paths"]["/v1/things:list"]["get"]
    parameters = {each["name"]: each for each in call["parameters"]}
    assert parameters["external_id"]["required"] is True
    assert parameters["external_id"]["description"] == "The contact."
    assert parameters["page_size"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert parameters["even"] == {"name": "even", "in": "query", "required": False, "schema": {"type": "string"}}
    assert call["security"] == [{"client_credentials": ["things:read"]}, {"access_token": []}]
    assert {"200", "400", "401", "403", "429", "503", "default"} == set(call["responses"])
    assert set(call["responses"]["403"]["content"]["application/problem+json"]["examples"]) == {
        "address_not_allowed",
        "endpoint_not_enabled",
        "token_predates_grant",
    }


def test_a_write_is_described_with_its_key_and_conflicts() -> None:
    call = openapi_document(OPERATIONS, INFO)["paths"]["/v1/things:make"]["post"]
    assert [each["name"] for each in call["parameters"]] == ["Idempotency-Key"]
    assert {"201", "409", "413", "415"} <= set(call["responses"])


def test_the_token_call_is_described_with_its_own_errors() -> None:
    call = openapi_document(OPERATIONS, INFO)["paths"]["/v1/oauth:token"]["post"]
    assert set(call["requestBody"]["content"]) == {"application/json", "application/x-www-form-urlencoded"}
    assert call["security"] == [{}, {"client_basic": []}]
    answer = call["responses"]["401"]["content"]["application/json"]
    assert answer["examples"]["credential_missing"]["value"]["error"] == "invalid_client"


class Odd:
    """A value type that forgot its schema."""


class Described:
    """A value type with its schema."""

    JSON_SCHEMA: ClassVar = {"type": "string"}


class WithOdd(msgspec.Struct):
    odd: Odd


class WithDescribed(msgspec.Struct):
    described: Described


def test_a_value_type_without_a_schema_is_noticed_at_start() -> None:
    with pytest.raises(TypeError, match="Odd"):
        openapi_document([operation(parameters=WithOdd)], INFO)
    document = openapi_document([operation(parameters=WithDescribed)], INFO)
    assert document["paths"]["/v1/things:list"]["get"]["parameters"][0]["schema"] == {"type": "string"}


def test_the_document_is_served() -> None:
    answer = World([*OPERATIONS, openapi_operation(OPERATIONS, INFO)]).send("GET", "/openapi.json")
    assert (answer.status, answer.header("cache-control")) == (200, "public, max-age=300")
    assert answer.json == openapi_document(OPERATIONS, INFO)
