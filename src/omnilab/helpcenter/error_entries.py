"""What a help page says of each error code: made from the closed list in `omnilab/codes.py` and the tables of statuses.

Promises that what stands there is what the API answers. Knows no template.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from markupsafe import Markup, escape

from omnilab.codes import CODES, Code
from omnilab.web.problems import API_STATUS, OAUTH_STATUS

_CODE_SPAN = re.compile(r"`([^`]+)`")


class AnswerLine(NamedTuple):
    """Where a code is met, and as what."""

    where: str
    what: str


class ErrorEntry(NamedTuple):
    """One code. `statuses`: all HTTP statuses with which it is answered, for the list."""

    code: Code
    statuses: str
    answers: list[AnswerLine]


def error_entries() -> list[ErrorEntry]:
    """All codes, in the order in which a request meets them."""
    return [ErrorEntry(code, _statuses(name), _answers(name)) for name, code in CODES.items()]


def marked(text: str) -> Markup:
    """Our texts mark code with backticks."""
    return Markup(_CODE_SPAN.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


def _statuses(name: str) -> str:
    found = {API_STATUS.get(name), OAUTH_STATUS[name][0] if name in OAUTH_STATUS else None} - {None}
    return ", ".join(str(status) for status in sorted(found, key=str))


def _answers(name: str) -> list[AnswerLine]:
    lines = []
    if name in OAUTH_STATUS:
        status, error = OAUTH_STATUS[name]
        lines.append(AnswerLine("From the token call", f"{status}, with `error` = `{error}`"))
    if name in API_STATUS:
        lines.append(AnswerLine("From the API", f"{API_STATUS[name]}, with `code` = `{name}`"))
    return lines
