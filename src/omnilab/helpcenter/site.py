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
from omnilab.helpcenter.error_entries import error_entries, marked
from omnilab.helpcenter.viewer import viewer_script

if TYPE_CHECKING:
    from omnilab.helpcenter.articles import Article

_BASE = "/docs"
_ASSETS = {
    "site.css": "text/css",
    "site.js": "text/javascript",
    "theme.js": "text/javascript",
    "reference.js": "text/javascript",
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


# The viewer writes style elements into its own shadow tree. Its scripts are bound like ours.
_VIEWER_HEADERS = _HEADERS | {
    "Content-Security-Policy": _HEADERS["Content-Security-Policy"].replace(
        "style-src 'self'", "style-src 'self' 'unsafe-inline'"
    )
}
_VIEWER_PAGES = ("reference", "try-it")


class Notices(NamedTuple):
    """What the operators put on every page: a message, where it leads, and where the service's status is shown.

    try_it: whether calls may be tried from the browser, with a pasted token.
    """

    banner_text: str | None = None
    banner_url: str | None = None
    status_page_url: str | None = None
    try_it: bool = False


def help_pages(base_url_of: Callable[[bytes | None], str], notices: Notices) -> list[Route]:
    """Starlette routes of all pages. `base_url_of`: a `Host` header → the base URL that its reader calls."""
    site = _Site(base_url_of, notices)
    return [
        Route(_BASE, site.index, name="help"),
        Route(f"{_BASE}/", site.index, name="help_slash"),
        Route(f"{_BASE}/search.json", site.search, name="help_search"),
        Route(f"{_BASE}/assets/viewer.js", site.viewer, name="help_viewer"),
        Route(f"{_BASE}/assets/{{name}}", site.asset, name="help_asset"),
        Route(f"{_BASE}/errors/", site.errors, name="help_errors"),
        Route(f"{_BASE}/errors/{{code}}", site.error, name="help_error"),
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

    async def errors(self, request: Request) -> Response:
        return self._page(request, "errors")

    async def error(self, request: Request) -> Response:
        return self._page(request, f"errors/{request.path_params['code']}")

    async def search(self, request: Request) -> Response:
        self._render()
        return _answer(request, self._search, "application/json")

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404)
        return _answer(request, (files("omnilab.helpcenter") / "assets" / name).read_bytes(), _ASSETS[name])

    async def viewer(self, request: Request) -> Response:
        accepted = {each.split(";")[0].strip() for each in request.headers.get("accept-encoding", "").split(",")}
        return viewer_script(accepted, request.headers.get("if-none-match"))

    def _page(self, request: Request, slug: str) -> Response:
        self._render()
        page = self._pages.get(slug)
        if page is None:
            raise HTTPException(404)
        from omnilab.helpcenter.articles import BASE_URL_MARK  # noqa: PLC0415 - see _render

        host = request.headers.get("host")
        base_url = escape(self._base_url_of(None if host is None else host.encode("latin-1")))
        filled = page.replace(BASE_URL_MARK, f"<span data-base-url>{base_url}</span>")
        return _answer(request, filled.encode(), "text/html", _VIEWER_HEADERS if slug in _VIEWER_PAGES else _HEADERS)

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
        entries.append(_entry("errors/", "Errors", "Every error code: what it means and what to do."))
        entries.append(_entry("reference", "API reference", "Every call with its parameters and answers."))
        self._search = msgspec.json.encode(entries)
        self._pages = _rendered(articles, self._notices)


def _entry(slug: str, title: str, text: str) -> dict[str, str]:
    return {"slug": slug, "title": title, "text": text}


def _rendered(articles: list[Article], notices: Notices) -> dict[str, str]:
    templates = Environment(
        loader=PackageLoader("omnilab.helpcenter"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.globals |= {"notices": notices, "try_it": notices.try_it, "articles": articles}
    templates.filters["marked"] = marked

    def page(template: str, slug: str, **values: object) -> str:
        return templates.get_template(template).render(slug=slug, **values)

    entries = error_entries()
    pages = {"": page("index.html", ""), "errors": page("errors.html", "errors", entries=entries)}
    pages |= {slug: page("reference.html", slug) for slug in _VIEWER_PAGES if notices.try_it or slug != "try-it"}
    for entry in entries:
        slug = f"errors/{entry.code.code}"
        pages[slug] = page("error.html", slug, entry=entry)
    for place, each in enumerate(articles):
        pages[each.slug] = page(
            "article.html",
            each.slug,
            current=each,
            body=Markup(each.html),  # noqa: S704 - made of our own files
            previous=articles[place - 1] if place else None,
            following=articles[place + 1] if place + 1 < len(articles) else None,
        )
    return pages


def _answer(request: Request, body: bytes, media_type: str, policy: dict[str, str] = _HEADERS) -> Response:
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**policy, "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
