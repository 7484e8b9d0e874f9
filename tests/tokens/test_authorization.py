"""The one presented credential: in the body or in Basic, as libraries really write it."""

from __future__ import annotations

import base64
import contextlib
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilab.errors import OmniLabError, RequestError, TokenRefusedError
from omnilab.tokens.routes.authorization import claimed_client_id, find_presented
from omnilab.tokens.routes.body import TokenParameters


def body(client_id: str = "", client_secret: str = "") -> TokenParameters:
    return TokenParameters("client_credentials", client_id, client_secret, "aud")


def basic(user: str, password: str, scheme: str = "Basic") -> bytes:
    return f"{scheme} ".encode() + base64.b64encode(f"{user}:{password}".encode())


def pairs(authorization: bytes | None, parameters: TokenParameters) -> list[tuple[str, str]]:
    return [(each.client_id, each.secret.reveal()) for each in find_presented(authorization, parameters)]


def refusal(authorization: bytes | None, parameters: TokenParameters) -> OmniLabError:
    with pytest.raises(OmniLabError) as caught:
        find_presented(authorization, parameters)
    return caught.value


def test_the_body_alone() -> None:
    assert pairs(None, body("cli_1", "s")) == [("cli_1", "s")]


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_basic_alone_in_any_case(scheme: str) -> None:
    assert pairs(basic("cli_1", "omni_dev_x", scheme), body()) == [("cli_1", "omni_dev_x")]


def test_a_bare_client_id_equal_to_the_basic_user_is_no_second_method() -> None:
    assert pairs(basic("cli_1", "s"), body("cli_1")) == [("cli_1", "s")]
    assert ("cli_1", "s") in pairs(basic("cli%5F1", "s"), body("cli_1"))


@pytest.mark.parametrize(
    ("authorization", "parameters"),
    [
        (basic("cli_1", "s"), body("cli_1", "s")),
        (basic("cli_1", "s"), body("", "s")),
        (basic("cli_1", "s"), body("cli_2")),
        (b"Bearer eyJhbGciOi", body("cli_1", "s")),
        (b"Basic", body("cli_1", "s")),
    ],
)
def test_two_methods_are_refused_in_these_words(authorization: bytes, parameters: TokenParameters) -> None:
    error = refusal(authorization, parameters)
    assert error.code == "two_authentication_methods"
    assert error.detail.startswith("Two authentication methods")


@pytest.mark.parametrize(
    ("authorization", "parameters", "absent"),
    [
        (None, body(), "client_id and client_secret"),
        (None, body("cli_1"), "client_secret"),
        (None, body("", "s"), "client_id"),
        (basic("cli_1", ""), body(), "client_id and client_secret"),
        (basic("", "s"), body(), "client_id and client_secret"),
    ],
)
def test_a_missing_credential_is_named(authorization: bytes | None, parameters: TokenParameters, absent: str) -> None:
    error = refusal(authorization, parameters)
    assert isinstance(error, TokenRefusedError)
    assert error.code == "credential_missing"
    assert absent in error.detail


@pytest.mark.parametrize(
    "header",
    [
        b"Basic ",
        b"Basic !!!!",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b"a:b\0c"),
        b"Basic \xff\xfe",
    ],
)
def test_a_broken_basic_header_is_malformed(header: bytes) -> None:
    error = refusal(header, body())
    assert isinstance(error, RequestError)
    assert error.code == "request_malformed"


def test_latin1_is_understood() -> None:
    header = b"Basic " + base64.b64encode("legacy:gehe\xefm".encode("latin-1"))
    assert pairs(header, body()) == [("legacy", "gehe\xefm")]


def test_a_text_that_only_looks_encoded_is_read_as_it_stands() -> None:
    assert pairs(basic("a%00", "b"), body()) == [("a%00", "b")]


_visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@given(_visible.filter(lambda text: ":" not in text), _visible)
def test_every_way_of_encoding_is_among_the_readings(client_id: str, secret: str) -> None:
    """`+ / % :` in a secret broke many servers: encoded by the RFC, half encoded, or not at all, it is found."""
    for encode in (quote_plus, quote, lambda text: quote(text, safe=""), str):
        assert (client_id, secret) in pairs(basic(encode(client_id), encode(secret)), body())


@given(_visible, _visible)
def test_what_the_rfc_means_comes_first(client_id: str, secret: str) -> None:
    assert pairs(basic(quote_plus(client_id), quote_plus(secret)), body())[0] == (client_id, secret)


@given(st.binary(max_size=80))
def test_any_header_gives_readings_or_an_error_of_the_tree(raw: bytes) -> None:
    for header in (raw, b"Basic " + raw, b"Basic " + base64.b64encode(raw)):
        with contextlib.suppress(OmniLabError):
            find_presented(header, body())
        claimed_client_id(header, body())


def test_the_claim_is_read_where_it_stands() -> None:
    assert claimed_client_id(None, body("cli_1")) == "cli_1"
    assert claimed_client_id(basic("cli_2", "s"), body()) == "cli_2"
    assert claimed_client_id(b"Basic broken", body()) is None
    assert claimed_client_id(None, body()) is None
