"""Reading a JSON body strictly: one object, UTF-8, no key twice, no NUL, no deep nesting.

Promises that what passes means one thing to every JSON reader (RFC 8259 §4 leaves duplicate keys open, and two
readers that disagree are how a check is walked around). Knows nothing of what the fields mean. Whatever the bytes
are, the answer is a dict or one RequestError.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

from omnilab.errors import RequestError
from omnilab.web.exchange import Exchange

MAX_DEPTH = 8
_decode = msgspec.json.Decoder().decode
_UTF8_NAMES = frozenset({"utf-8", "utf8", "us-ascii"})
# What nearly every caller sends, so that nearly no request pays for parsing it.
_KNOWN_TYPES = {
    b"application/json": "application/json",
    b"application/json; charset=utf-8": "application/json",
    b"application/json;charset=utf-8": "application/json",
    b"application/json; charset=UTF-8": "application/json",
    b"application/json;charset=UTF-8": "application/json",
    b"application/x-www-form-urlencoded": "application/x-www-form-urlencoded",
}
_PARAMETER = re.compile(r'\s*;\s*([!#$%&\'*+.^_`|~0-9a-z-]+)=("[^"]*"|[^\s;"]*)\s*')


def media_type(exchange: Exchange) -> str:
    """The media type of the body in lower case, "" if none is named.

    Raises RequestError `media_type_unsupported` for a character set other than UTF-8, for a content coding, and
    for a header that cannot be read.
    """
    value = exchange.header(b"content-type")
    coding = exchange.header(b"content-encoding")
    if coding is not None and coding.strip().lower() not in (b"", b"identity"):
        _refuse_type("The body is compressed; send it as it is, without Content-Encoding.", "no content coding")
    if value is None:
        return ""
    return _KNOWN_TYPES.get(value) or _read_type(value.decode("latin-1"))


def require_json(exchange: Exchange) -> None:
    """Raise RequestError `media_type_unsupported` unless the body is said to be JSON."""
    found = media_type(exchange)
    if found != "application/json":
        _refuse_type(
            "This call reads JSON; send Content-Type: application/json.", "application/json", sent_type(exchange)
        )


def sent_type(exchange: Exchange) -> str:
    """The Content-Type as it was sent, for the record. In its own case: masking knows a random text by its mixture."""
    return (exchange.header(b"content-type") or b"").decode("latin-1")


def json_object(body: bytes) -> dict[str, Any]:
    """The one object that `body` is. Raises RequestError `request_malformed`, in words that say where."""
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse_body(_why_malformed(body, error))
    if type(value) is not dict:
        refuse_body("The body is JSON, but no object; send an object with the documented fields.")
    # No key can have come twice when the quotes of the text are just those of the keys and strings that were read:
    # exact as long as nothing is nested and no quote is escaped, and far cheaper than reading the text again.
    strings = 0
    flat = b"\\" not in body
    for item in value.values():
        kind = type(item)
        if kind is str:
            strings += 1
        elif kind is dict or kind is list:
            flat = False
    if not flat or body.count(b'"') != 2 * (len(value) + strings):
        _read_again(body, value)
    return value


def refuse_body(detail: str) -> NoReturn:
    """Raise the refusal of a body that cannot be read."""
    raise RequestError(
        "request_malformed", detail, check="body", expected="one JSON object in UTF-8", found=detail.partition(";")[0]
    )


def _read_again(body: bytes, value: dict[str, Any]) -> None:
    """The slow way, for bodies with nesting or escapes: depth, NUL and duplicate keys."""
    _check_values(value, depth=1)
    json.loads(body, object_pairs_hook=_without_duplicates)


def _check_values(value: object, *, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            refuse_body("The body has a NUL character in a string; leave it out.")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            refuse_body(f"The body is nested more than {MAX_DEPTH} levels deep; send the documented fields only.")
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        for item in inner:
            _check_values(item, depth=depth + 1)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            # The name is the caller's own text, and could be anything; it is not quoted.
            refuse_body("The body has the same JSON field twice in one object; send each field once.")
        seen.add(name)


def _why_malformed(body: bytes, error: Exception) -> str:
    if not body:
        return "The body is empty; send a JSON object."
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "The body begins with a byte order mark; send plain UTF-8 without one."
    if isinstance(error, RecursionError):
        return f"The body is nested more than {MAX_DEPTH} levels deep; send the documented fields only."
    try:
        body.decode()
    except UnicodeDecodeError as bad:
        return f"The body is not UTF-8 (at byte {bad.start}); send UTF-8."
    place = re.search(r"byte (\d+)", str(error))
    where = f" (at byte {place[1]})" if place else ""
    return f"The body is not valid JSON{where}; build it with a JSON library."


def _read_type(value: str) -> str:
    kind, semicolon, rest = value.lower().partition(";")
    position, rest = 0, semicolon + rest
    while position < len(rest):
        parameter = _PARAMETER.match(rest, position)
        if parameter is None:
            _refuse_type("The Content-Type header cannot be read.", "a media type")
        if parameter[1] == "charset" and parameter[2].strip('"') not in _UTF8_NAMES:
            _refuse_type("The body is said to be in another character set; send UTF-8.", "charset=utf-8")
        position = parameter.end()
    return kind.strip()


def _refuse_type(detail: str, expected: str, found: str = "") -> NoReturn:
    raise RequestError("media_type_unsupported", detail, check="media_type", expected=expected, found=found)
