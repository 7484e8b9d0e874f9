"""Strict reading of query strings and JSON bodies into msgspec Structs.

Promises that a parameter is never guessed at: unknown, repeated, empty, ill-encoded or out of range is refused
with every bad field named at once, and a value that looks like a credential is refused before it can be stored
anywhere. Values are never quoted. Readers are built once, at import, and are cheap for the normal request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from omnilab.errors import FieldError, RequestError
from omnilab.telemetry.redaction import excerpt, looks_like_credential
from omnilab.web.exchange import Exchange
from omnilab.web.field_words import nearest, words_for
from omnilab.web.strict_json import json_object, require_json

T = TypeVar("T", bound=msgspec.Struct)
DecodeValue = Callable[[type, Any], Any]

_MAX_ERRORS = 20
_MAX_NAME = 64
_BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Texts that people write may have line breaks; nothing else of the control characters.
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LIST_SUFFIX = re.compile(r"\[[0-9]{0,4}\]")

_TWICE = "is given more than once; send it once"
_EMPTY = "is empty; leave it out or give it a value"
_CONTROLS = "has control characters; leave them out"
_CREDENTIAL = "looks like a secret or a token; those are never sent here"
_ENCODING = "is not valid percent-encoded UTF-8; build the URL with a URL library"
_BOOLEANS: dict[Any, Any] = {"true": True, "false": False}


class _Fields(Generic[T]):
    """What both readers know of a Struct: its fields, their words, and how to name every bad one."""

    def __init__(self, into: type[T], decode_value: DecodeValue | None) -> None:
        self.into = into
        self.decode_value = decode_value
        self.fields = {field.encode_name: field for field in msgspec.structs.fields(into)}
        self.names = frozenset(self.fields)

    def convert(self, values: Mapping[str, Any], problems: list[FieldError], *, malformed: bool = False) -> T:
        """The Struct. Raises RequestError naming every bad field, those in `problems` included."""
        if not problems:
            try:
                return msgspec.convert(values, self.into, dec_hook=self.decode_value)
            except msgspec.ValidationError:
                pass
        bad = {problem.field for problem in problems}
        for name, field in self.fields.items():
            if name in bad:
                continue
            if name in values:
                problem = self._problem(field, values[name])
            else:
                problem = "is required" if field.required else None
            if problem is not None:
                problems.append(FieldError(name, problem))
        if not problems:  # a rule over several fields (`__post_init__`), in the Struct's own words
            problems.append(FieldError("", self._whole_problem(values)))
        raise _refusal(problems, malformed=malformed)

    def unknown(self, name: str) -> FieldError:
        """The refusal of a name that the Struct does not have."""
        known = nearest(name, self.fields)
        shown = _CONTROL.sub("?", excerpt(name, _MAX_NAME))
        if name == "access_token":
            return FieldError(shown, "is not known here; a token is sent in the Authorization header only")
        return FieldError(shown, f"is not known; did you mean {known}?" if known else "is not known here")

    def _problem(self, field: msgspec.structs.FieldInfo, value: Any) -> str | None:
        try:
            msgspec.convert(value, field.type, dec_hook=self.decode_value)
        except msgspec.ValidationError as error:
            own_words = error.__cause__
            return str(own_words) if isinstance(own_words, ValueError) else words_for(field.type)
        return None

    def _whole_problem(self, values: Mapping[str, Any]) -> str:
        try:
            msgspec.convert(values, self.into, dec_hook=self.decode_value)
        except msgspec.ValidationError as error:
            return str(error.__cause__ or "the fields do not fit together")
        return "the fields do not fit together"


class QueryReader(Generic[T]):
    """Reads a query string into a Struct of `str`, `int`, `bool`, custom and `list[...]` fields.

    A list field takes repeats, `name[]=`, `name[0]=` and comma lists. `decode_value` is msgspec's `dec_hook`, for
    value types of one's own; a ValueError it raises becomes the field's words.
    """

    def __init__(self, into: type[T], *, decode_value: DecodeValue | None = None) -> None:
        self._fields = _Fields(into, decode_value)
        self._kinds = {name: _query_kind(field.type) for name, field in self._fields.fields.items()}

    def read(self, query_string: bytes) -> T:
        """The parameters. Raises RequestError `parameter_unknown`, `parameter_invalid` or `request_malformed`."""
        values: dict[str, Any] = {}
        problems: list[FieldError] = []
        malformed = False
        for name, value in _pairs(query_string):
            if name is None or value is None:
                malformed = True
                problems.append(FieldError(excerpt(name, _MAX_NAME) if name else "", _ENCODING))
            else:
                problem = self._take(name, value, values)
                if problem is not None:
                    problems.append(problem)
            if len(problems) >= _MAX_ERRORS:
                break
        return self._fields.convert(values, problems, malformed=malformed)

    def _take(self, name: str, value: str, values: dict[str, Any]) -> FieldError | None:
        """Put one pair into `values`; the error to report when it cannot be."""
        kind = self._kinds.get(name)
        if kind is None:
            plain = _LIST_SUFFIX.sub("", name, count=1)
            kind = self._kinds.get(plain)
            if kind != "list":
                return self._fields.unknown(name)
            name = plain
        if not value:
            return FieldError(name, _EMPTY)
        problem = _bad_text(value, _CONTROL)
        if problem is not None:
            return FieldError(name, problem)
        if kind == "list":
            values.setdefault(name, []).extend(value.split(","))
        elif name in values:
            return FieldError(name, _TWICE)
        elif kind == "int":
            values[name] = int(value) if _WHOLE_NUMBER.fullmatch(value) else value
        elif kind == "bool":
            values[name] = _BOOLEANS.get(value, value)
        else:
            values[name] = value
        return None


class JsonReader(Generic[T]):
    """Reads a JSON body into a Struct, as `strict_json` reads it, with every bad field named."""

    def __init__(self, into: type[T], *, decode_value: DecodeValue | None = None) -> None:
        self._fields = _Fields(into, decode_value)

    async def read(self, exchange: Exchange) -> T:
        """The body. Raises RequestError for its media type, its size, its form and its fields."""
        require_json(exchange)
        return self.decode(await exchange.body())

    def decode(self, body: bytes) -> T:
        """The same from bytes."""
        values = json_object(body)
        for name, value in values.items():
            if isinstance(value, float) and value.is_integer():
                values[name] = int(value)  # to JSON 2.0 is a whole number, and some libraries write it so
        problems = [
            self._fields.unknown(name) for name in list(values)[: _MAX_ERRORS * 2] if name not in self._fields.names
        ]
        for name, value in values.items():
            problem = _bad_value(value)
            if problem is not None and name in self._fields.names:
                problems.append(FieldError(name, problem))
        return self._fields.convert(values, problems[:_MAX_ERRORS])


def _query_kind(kind: Any) -> str:
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.Metadata):
        info = info.type
    if isinstance(info, msgspec.inspect.UnionType):
        info = next(each for each in info.types if not isinstance(each, msgspec.inspect.NoneType))
    if isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType | msgspec.inspect.FrozenSetType):
        return "list"
    if isinstance(info, msgspec.inspect.IntType):
        return "int"
    return "bool" if isinstance(info, msgspec.inspect.BoolType) else "str"


def _pairs(query_string: bytes) -> Iterable[tuple[str | None, str | None]]:
    """Name and value of each part, None for what cannot be decoded."""
    if b"%" not in query_string and b"+" not in query_string and query_string.isascii():
        parts = query_string.decode("ascii").split("&")
        return [(name, value) for name, _, value in [part.partition("=") for part in parts if part]]
    raw = [part.partition(b"=") for part in query_string.split(b"&") if part]
    return [(_decoded(name), _decoded(value)) for name, _, value in raw]


def _decoded(raw: bytes) -> str | None:
    """Percent-decoded UTF-8 with `+` as a space; None when it is neither."""
    if _BROKEN_PERCENT.search(raw):
        return None
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        return None


def _bad_text(value: str, controls: re.Pattern[str]) -> str | None:
    if not value.isprintable() and controls.search(value):
        return _CONTROLS
    return _CREDENTIAL if looks_like_credential(value) else None


def _bad_value(value: Any) -> str | None:
    if isinstance(value, str):
        return _bad_text(value, _CONTROL_IN_TEXT)
    if isinstance(value, dict):
        return next((bad for item in (*value, *value.values()) if (bad := _bad_value(item))), None)
    if isinstance(value, list):
        return next((bad for item in value if (bad := _bad_value(item))), None)
    return None


def _refusal(problems: list[FieldError], *, malformed: bool) -> RequestError:
    """A misspelt name is the cause and the missing one its effect, so unknown names decide the code."""
    problems = problems[:_MAX_ERRORS]
    unknown = any(problem.detail.startswith("is not known") for problem in problems)
    code = "request_malformed" if malformed else "parameter_unknown" if unknown else "parameter_invalid"
    said = "; ".join(f"{problem.field} {problem.detail}".strip() for problem in problems[:3])
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return RequestError(
        code, f"{said}{more}.", errors=problems, check="parameters", expected="the documented parameters", found=said
    )
