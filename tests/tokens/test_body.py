"""Reading a token request's body: whatever the bytes are, parameters or one RequestError."""

from __future__ import annotations

import contextlib
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilab.errors import RequestError
from omnilab.tokens.routes.body import FORM, JSON, NAMES, TokenParameters, read_parameters

USUAL = {
    "client_id": "cli_1",
    "client_secret": "s3cret",
    "audience": "https://acme.api.example.com",
    "grant_type": "client_credentials",
}


def refused(body: bytes, kind: str = JSON) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read_parameters(body, kind)
    return caught.value


def values(read: TokenParameters) -> dict[str, str]:
    return {name: getattr(read, name) for name in NAMES if getattr(read, name)}


def test_json_and_form_say_the_same() -> None:
    assert values(read_parameters(json.dumps(USUAL).encode(), JSON)) == USUAL
    assert values(read_parameters(urlencode(USUAL).encode(), FORM)) == USUAL


def test_unknown_parameters_are_ignored_and_empty_ones_are_absent() -> None:
    more = USUAL | {"scope": "", "resource": "", "assertion": {"deep": [1, None]}, "n": 1}
    assert values(read_parameters(json.dumps(more).encode(), JSON)) == USUAL
    assert values(read_parameters(urlencode(USUAL | {"scope": "", "x": "y"}).encode(), FORM)) == USUAL


def test_escapes_are_read() -> None:
    escaped = json.dumps(USUAL).replace("cli_1", "\\u0063li_1").encode()
    assert read_parameters(escaped, JSON).client_id == "cli_1"


@pytest.mark.parametrize("name", NAMES)
def test_a_json_key_given_twice_is_refused(name: str) -> None:
    once = json.dumps(USUAL | {name: "x"})
    twice = once[:-1] + f', "{name}": "x"}}'
    assert refused(twice.encode()).code == "request_malformed"


def test_an_unknown_key_given_twice_is_refused_too() -> None:
    body = json.dumps(USUAL)[:-1] + ', "foo": 1, "foo": 2}'
    assert refused(body.encode()).code == "request_malformed"


@pytest.mark.parametrize("name", [*NAMES, "foo"])
def test_a_form_field_given_twice_is_refused(name: str) -> None:
    body = urlencode([*USUAL.items(), (name, "x"), (name, "x")]).encode()
    error = refused(body, FORM)
    assert error.code == "parameter_repeated"
    assert "x" not in error.found.split()


@pytest.mark.parametrize("value", [None, True, 1, 1.5, [], ["s"], {}, {"a": "b"}])
@pytest.mark.parametrize("name", NAMES)
def test_values_of_another_type_are_refused(name: str, value: object) -> None:
    error = refused(json.dumps(USUAL | {name: value}).encode())
    assert error.code == "parameter_invalid"
    assert [bad.field for bad in error.errors] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_nul_and_other_control_characters_are_refused(name: str) -> None:
    for char in "\0\n\x7f":
        body = json.dumps(USUAL | {name: f"a{char}b"}).encode()
        assert refused(body).code in {"parameter_invalid", "request_malformed"}
        assert refused(urlencode(USUAL | {name: f"a{char}b"}).encode(), FORM).code == "parameter_invalid"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a": NaN}',
        b"\xef\xbb\xbf" + json.dumps(USUAL).encode(),
        json.dumps(USUAL).encode("utf-16"),
        json.dumps(USUAL).replace("s3cret", "\xff").encode("latin-1"),
        b'{"client_id": "\\ud800"}',
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"[" * 16_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        json.dumps(USUAL).encode() + b"{}",
    ],
)
def test_what_is_no_json_object_in_utf8_is_refused(body: bytes) -> None:
    assert refused(body).code == "request_malformed"


def test_a_form_in_another_charset_is_refused() -> None:
    assert refused(b"client_id=\xff", FORM).code == "request_malformed"
    assert refused(b"client_id=%FF", FORM).code == "request_malformed"
    assert refused(b"&".join(b"a%d=1" % number for number in range(300)), FORM).code == "request_malformed"


@given(st.binary(max_size=300), st.sampled_from([JSON, FORM]))
def test_any_bytes_give_parameters_or_a_request_error(body: bytes, kind: str) -> None:
    with contextlib.suppress(RequestError):
        read_parameters(body, kind)


_keys = st.sampled_from([*NAMES, "foo", 'quo"te', "back\\slash", "ümlaut"])
_texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)


@given(st.lists(st.tuples(_keys, _texts), max_size=8))
def test_the_quick_way_and_the_careful_way_agree(pairs: list[tuple[str, str]]) -> None:
    """The counting of quotes never lets a repeated key through, and never loses a value."""
    body = ("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}").encode()
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        assert refused(body).code == "request_malformed"
    else:
        expected = {name: value for name, value in pairs if name in NAMES and value}
        assert values(read_parameters(body, JSON)) == expected


def test_the_secret_shows_in_no_repr() -> None:
    assert "s3cret" not in repr(read_parameters(json.dumps(USUAL).encode(), JSON))
