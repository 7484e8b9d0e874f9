"""Reading the parameters of a token request from JSON or a form, strictly and cheaply.

Unknown parameters are ignored, empty ones count as absent, repeated ones are refused (RFC 6749 §3.2). Whatever comes,
the outcome is parameters or a RequestError, never anything else. Must not know what a parameter means.

The usual body — the documented JSON, nothing else in it — is read in one pass; every other goes the careful way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from msgspec import Meta

from omnilab.errors import FieldError, RequestError
from omnilab.web.exchange import Exchange
from omnilab.web.strict_json import json_object, media_type, sent_type

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
_FORM_FIELDS = 200  # more is no token request


# Only said, not enforced here: what is missing is refused with words of its own.
_NO_CONTROLS = {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}
_FILLED = Meta(extra_json_schema={"minLength": 1, **_NO_CONTROLS})


class TokenParameters(msgspec.Struct, gc=False):
    """The body of a token request."""

    grant_type: Annotated[str, Meta(extra_json_schema={"const": "client_credentials"})]
    client_id: Annotated[str, _FILLED]
    client_secret: Annotated[str, _FILLED]
    audience: Annotated[str, _FILLED, Meta(description="The API the token is for.")]
    scope: Annotated[
        str, Meta(description="A part of the granted endpoints; left out: all of them.", extra_json_schema=_NO_CONTROLS)
    ] = ""
    resource: Annotated[
        str, Meta(description="Another name for `audience` (RFC 8707).", extra_json_schema=_NO_CONTROLS)
    ] = ""

    def __repr__(self) -> str:
        return f"TokenParameters(client_id={self.client_id!r}, client_secret='**********')"


class TokenCallParameters(msgspec.Struct, gc=False):
    """The body of a call about one token (RFC 7009 §2.1, RFC 7662 §2.1)."""

    token: Annotated[str, _FILLED, Meta(description="The access token.")]
    client_id: Annotated[str, _FILLED]
    client_secret: Annotated[str, _FILLED]
    token_type_hint: Annotated[
        str, Meta(description="Taken and not needed.", examples=["access_token"], extra_json_schema=_NO_CONTROLS)
    ] = ""

    def __repr__(self) -> str:
        return f"TokenCallParameters(client_id={self.client_id!r}, token='**********')"


Parameters = TypeVar("Parameters", TokenParameters, TokenCallParameters)
NAMES = TokenParameters.__struct_fields__
_NOTHING = dict.fromkeys(NAMES, "")
_usual = msgspec.json.Decoder(TokenParameters)


def form_or_json(exchange: Exchange) -> str:
    """`JSON` or `FORM`. Raises RequestError `media_type_unsupported` for any other, or another charset than UTF-8."""
    found = media_type(exchange)
    if found not in (JSON, FORM):
        raise RequestError(
            "media_type_unsupported",
            f"Send the parameters as {JSON} or {FORM}, and name it in Content-Type.",
            check="media_type",
            expected=f"{JSON} or {FORM}",
            found=sent_type(exchange) or "no Content-Type",
        )
    return found


def read_parameters(body: bytes, kind: str) -> TokenParameters:
    """The parameters of a body of this media type; absent ones are empty. Raises RequestError."""
    usual = _read_usual_json(body) if kind == JSON else _read_usual_form(body)
    return usual or read_careful(body, kind, TokenParameters)


def read_careful(body: bytes, kind: str, wanted: type[Parameters]) -> Parameters:
    """The parameters of a call of this kind, whatever else came; absent ones are empty. Raises RequestError."""
    names = wanted.__struct_fields__
    pairs = json_object(body).items() if kind == JSON else _form_pairs(body, names)
    return wanted(**_gather(pairs, names))


def _read_usual_json(body: bytes) -> TokenParameters | None:
    """The documented body and nothing else, or None.

    That no key comes twice follows from counting: without escapes every text has exactly two quotes, so a body with
    four quotes for each parameter that was read has no room for another key.
    """
    try:
        read = _usual.decode(body)
    except (ValueError, RecursionError):
        return None
    quotes = 16 + (4 if read.scope else 0) + (4 if read.resource else 0)
    if body.count(b'"') != quotes or b"\\" in body:
        return None
    return read


def _read_usual_form(body: bytes) -> TokenParameters | None:
    """The documented parameters, each once and with a printable value, and nothing else; or None."""
    try:
        text = body.decode("ascii")
        pairs = [part.split("=", 1) for part in text.split("&")]
        values = dict(pairs)
        if "%" in text or "+" in text:
            values = {name: unquote_plus(value, errors="strict") for name, value in pairs}
    except ValueError:  # not ASCII, no value after a name, or no UTF-8 behind the signs of percent
        return None
    if len(values) != len(pairs) or not values.keys() <= _NOTHING.keys() or not "".join(values.values()).isprintable():
        return None
    return TokenParameters(**_NOTHING | values)


def _form_pairs(body: bytes, names: tuple[str, ...]) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS)
    except UnicodeDecodeError:
        _malformed("The form is not UTF-8; send UTF-8.", "bytes that are not UTF-8")
    except ValueError:
        _malformed("The form has too many fields; send the documented ones.", f"more than {_FORM_FIELDS} fields")
    _refuse_repeated(pairs, names)
    return pairs


def _gather(pairs: Iterable[tuple[str, Any]], names: tuple[str, ...]) -> dict[str, str]:
    """The known ones of all that came. Raises RequestError naming every bad one."""
    values = dict.fromkeys(names, "")
    bad: list[FieldError] = []
    for name, value in pairs:
        if name not in values:
            continue
        problem = _problem_of(value)
        if problem:
            bad.append(FieldError(name, problem))
        else:
            values[name] = value
    if bad:
        _invalid(bad)
    return values


def _problem_of(value: object) -> str:
    if not isinstance(value, str):
        return "must be a text"
    if not value.isprintable() and any(char < " " or char == "\x7f" for char in value):
        return "must not contain control characters"
    return ""


def _refuse_repeated(pairs: list[tuple[str, str]], names: tuple[str, ...]) -> None:
    """Unknown parameters may not come twice either: RFC 6749 §3.2 makes no difference."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            shown = name if name in names else "a parameter"
            raise RequestError(
                "parameter_repeated",
                f"The request gives {shown} more than once; send each parameter once.",
                check="parameters",
                expected="each parameter once",
                found=f"{shown} more than once",
            )
        seen.add(name)


def _malformed(detail: str, found: str) -> NoReturn:
    raise RequestError("request_malformed", detail, check="body", expected="a form in UTF-8", found=found)


def _invalid(bad: list[FieldError]) -> NoReturn:
    words = "; ".join(f"{each.field} {each.detail}" for each in bad)
    raise RequestError(
        "parameter_invalid",
        f"Some parameters are of a wrong kind: {words}.",
        errors=bad,
        check="parameters",
        expected="texts without control characters",
        found=words,
    )
