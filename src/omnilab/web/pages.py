"""The help page of every error code, from the first day: `/docs/errors/` and `/docs/errors/<code>`.

Promises plain HTML that needs no script and asks no other host for anything, made once at start from the closed
list in `omnilab/codes.py`. Knows nothing of the request but the code in its path.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from omnilab.codes import CODES, Code
from omnilab.web.problems import API_STATUS, OAUTH_STATUS

_BASE = "/docs/errors"
_CODE_SPAN = re.compile(r"`([^`]+)`")


class ErrorRow(NamedTuple):
    """A line of the index."""

    code: Code
    statuses: str


class AnswerLine(NamedTuple):
    """Where a code is met, and as what."""

    where: str
    what: str


def error_pages() -> list[Route]:
    """Starlette routes of the index and of every code's page."""
    pages = _ErrorPages()
    return [
        Route(_BASE, _answering(pages.index), name="error_codes"),
        Route(f"{_BASE}/", _answering(pages.index), name="error_codes_slash"),
        Route(f"{_BASE}/{{code}}", _answering(pages.page), name="error_code"),
    ]


class _ErrorPages:
    """All pages, rendered at start: they change with a release only."""

    def __init__(self) -> None:
        templates = Environment(
            loader=PackageLoader("omnilab.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        templates.filters["marked"] = _marked
        assert templates.loader is not None
        style = templates.loader.get_source(templates, "style.css")[0].strip()
        self._headers = _headers(style)
        shared = {"style": Markup(style), "base": _BASE}  # noqa: S704 - our own file, not a caller's text
        rows = [ErrorRow(code, _statuses(name)) for name, code in CODES.items()]
        self._index = templates.get_template("errors.html").render(rows=rows, **shared)
        one = templates.get_template("error.html")
        self._pages = {name: one.render(code=code, answers=_answers(name), **shared) for name, code in CODES.items()}

    def index(self, _request: Request) -> Response:
        return Response(self._index, media_type="text/html", headers=self._headers)

    def page(self, request: Request) -> Response:
        page = self._pages.get(request.path_params["code"])
        if page is None:
            raise HTTPException(404)
        return Response(page, media_type="text/html", headers=self._headers)


def _answering(make: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Starlette runs plain functions in a thread; these only look a string up."""

    async def answer(request: Request) -> Response:
        return make(request)

    return answer


def _headers(style: str) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "public, max-age=300",
    }


def _marked(text: str) -> Markup:
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
