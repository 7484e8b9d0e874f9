"""The pages at `/docs`, rendered at the first request and kept.

Promises a strict policy (no inline script or style, no other host), and that the base URL on a page comes from
settings and never from the text of a `Host` header. Knows no house.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from omnilab.codes import CODES

if TYPE_CHECKING:
    from omnilab.helpcenter.articles import Article

_BASE = "/docs"
_ASSETS = {
    "site.css": "text/css",
    "site.js": "text/javascript",
    "theme.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=300",
}


class Notices(NamedTuple):
    """What the operators put on every article: a message, where it leads, and where the service's status is shown."""

    banner_text: str | None = None
    banner_url: str | None = None
    status_page_url: str | None = None


def help_pages(base_url_of: Callable[[bytes | None], str], notices: Notices) -> list[Route]:
    """Starlette routes of the articles. `base_url_of`: a `Host` header → the base URL that its reader calls."""
    site = _Site(base_url_of, notices)
    return [
        Route(_BASE, site.index, name="help"),
        Route(f"{_BASE}/", site.index, name="help_slash"),
        Route(f"{_BASE}/search.json", site.search, name="help_search"),
        Route(f"{_BASE}/assets/{{name}}", site.asset, name="help_asset"),
        Route(f"{_BASE}/{{slug}}", site.article, name="help_article"),
    ]


class _Site:
    def __init__(self, base_url_of: Callable[[bytes | None], str], notices: Notices) -> None:
        self._base_url_of = base_url_of
        self._notices = notices
        self._pages: dict[str, str] = {}
        self._search = b""

    async def index(self, request: Request) -> Response:
        return self._page(request, "")

    async def article(self, request: Request) -> Response:
        return self._page(request, request.path_params["slug"])

    async def search(self, request: Request) -> Response:
        self._render()
        return _answer(request, self._search, "application/json")

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404)
        return _answer(request, (files("omnilab.helpcenter") / "assets" / name).read_bytes(), _ASSETS[name])

    def _page(self, request: Request, slug: str) -> Response:
        self._render()
        page = self._pages.get(slug)
        if page is None:
            raise HTTPException(404)
        from omnilab.helpcenter.articles import BASE_URL_MARK  # noqa: PLC0415 - see _render

        host = request.headers.get("host")
        base_url = escape(self._base_url_of(None if host is None else host.encode("latin-1")))
        filled = page.replace(BASE_URL_MARK, f"<span data-base-url>{base_url}</span>")
        return _answer(request, filled.encode(), "text/html")

    def _render(self) -> None:
        if self._pages:
            return
        # A worker that nobody asks for help loads no Markdown: serving begins sooner.
        from omnilab.helpcenter.articles import read_articles  # noqa: PLC0415

        articles = read_articles()
        entries = [_entry(each.slug, each.title, f"{each.summary} {each.text}") for each in articles]
        entries += [
            _entry(f"errors/{each.code}", f"{each.title} ({each.code})", f"{each.meaning} {each.fix}")
            for each in CODES.values()
        ]
        self._search = msgspec.json.encode(entries)
        self._pages = _rendered(articles, self._notices)


def _entry(slug: str, title: str, text: str) -> dict[str, str]:
    return {"slug": slug, "title": title, "text": text}


def _rendered(articles: list[Article], notices: Notices) -> dict[str, str]:
    templates = Environment(
        loader=PackageLoader("omnilab.helpcenter"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.globals["notices"] = notices
    pages = {"": templates.get_template("index.html").render(articles=articles, current=None)}
    one = templates.get_template("article.html")
    for place, each in enumerate(articles):
        pages[each.slug] = one.render(
            articles=articles,
            current=each,
            body=Markup(each.html),  # noqa: S704 - made of our own files
            previous=articles[place - 1] if place else None,
            following=articles[place + 1] if place + 1 < len(articles) else None,
        )
    return pages


def _answer(request: Request, body: bytes, media_type: str) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
