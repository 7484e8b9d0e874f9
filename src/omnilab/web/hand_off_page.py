"""The page of a hand-off link: the same bytes for every link, known or not. Reading it changes nothing.

Promises one local script, no other host, and that nothing of the link is kept or passed on by the browser. Knows
neither links nor secrets: the script asks for them on a click.
"""

from __future__ import annotations

import base64
import hashlib

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def hand_off_pages() -> list[Route]:
    """The Starlette route; HEAD answers too, POST does not (it is a call with an exact path)."""
    templates = Environment(loader=PackageLoader("omnilab.web"), autoescape=True, undefined=StrictUndefined)
    assert templates.loader is not None
    names = ("hand_off.css", "hand_off.js")
    style, script = (templates.loader.get_source(templates, name)[0].strip() for name in names)
    parts = {"style": Markup(style), "script": Markup(script)}  # noqa: S704 - our own files
    page = templates.get_template("hand_off.html").render(**parts)
    headers = _headers(style, script)

    async def answer(_request: Request) -> Response:
        return Response(page, media_type="text/html", headers=headers)

    return [Route("/hand-off/{hand_off_id}", answer, name="hand_off")]


def _headers(style: str, script: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow, noarchive",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
