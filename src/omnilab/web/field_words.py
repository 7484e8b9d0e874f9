"""What a field takes, in words, from its msgspec type: "must be a whole number from 1 to 200".

Promises never to quote what was sent. A type whose words cannot be worked out brings its own:
`Meta(extra={"words": "must be …"})`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import msgspec


def words_for(kind: Any) -> str:
    """The rule of a type as a sentence that begins with "must be"."""
    return _words(msgspec.inspect.type_info(kind))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most likely meant to be; case, `-` and `_` do not count."""
    plain = {_plain(each): each for each in known}
    found = difflib.get_close_matches(_plain(name[:64]), list(plain), n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _words(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.Metadata(type=inner, extra=extra):
            return str(extra["words"]) if extra and "words" in extra else _words(inner)
        case msgspec.inspect.UnionType(types=types):
            others = [each for each in types if not isinstance(each, msgspec.inspect.NoneType)]
            return _words(others[0]) if len(others) == 1 else "has a wrong type"
        case msgspec.inspect.StrType(min_length=least, max_length=most):
            return f"must be a string{_between(least, most)} characters" if least or most else "must be a string"
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"must be a whole number{_between(least, most)}"
        case msgspec.inspect.FloatType(ge=least, le=most):
            return f"must be a number{_between(least, most)}"
        case msgspec.inspect.BoolType():
            return "must be true or false"
        case msgspec.inspect.LiteralType(values=values):
            return "must be " + ("one of " if len(values) > 1 else "") + ", ".join(str(value) for value in values)
        case msgspec.inspect.EnumType(cls=cls):
            return "must be one of " + ", ".join(str(member.value) for member in cls)
        case msgspec.inspect.DateTimeType():
            return "must be a time as RFC 3339 writes it, with a UTC offset, such as 2026-12-01T10:00:00Z"
        case msgspec.inspect.ListType(item_type=item):
            return _words(item)
    return "has a wrong value"


def _between(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return f" of at most {most}" if most is not None else ""
