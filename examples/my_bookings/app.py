"""A "my bookings" page: the browser speaks to this backend alone, and this backend to OmniLab.

Run it beside an OmniLab of your own (`make demo`), with the credentials that it prints:

    export OMNILAB_CLIENT_ID=… OMNILAB_CLIENT_SECRET=… OMNILAB_AUDIENCE=… OMNILAB_BASE_URL=http://127.0.0.1:8080
    uvicorn --app-dir examples/my_bookings app:create_app --factory --port 9000

The client secret and the tokens stay in this process. Who is asking is read from this backend's own session, never
from the request's words, so nobody sees or cancels what is somebody else's. `/log-in` stands for your own log-in.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader

from omnilab.client import AsyncOmniLab, BookingAlreadyCancelledError, OmniLabError

COOKIE = "session"
PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One SDK client for the whole program: all requests share its token and its connections."""
    async with AsyncOmniLab() as omnilab:
        app.state.omnilab = omnilab
        app.state.sessions = {}
        yield


def logged_in(request: Request) -> str:
    """The contact whose session this is."""
    contact: str | None = request.app.state.sessions.get(request.cookies.get(COOKIE))
    if contact is None:
        raise HTTPException(303, headers={"Location": "/log-in"})
    return contact


def from_our_own_page(request: Request) -> None:
    """A form on somebody else's page must not cancel anything (CSRF): browsers say where a request comes from."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "This form belongs to another site.")


Contact = Annotated[str, Depends(logged_in)]


def page(name: str, status: int = 200, **values: object) -> Response:
    return HTMLResponse(PAGES.get_template(name).render(**values), status, HEADERS)


async def log_in_page() -> Response:
    return page("log_in.html")


async def log_in(request: Request) -> Response:
    """Takes anybody at their word, as no real log-in does."""
    form = parse_qs((await request.body()).decode())
    session = secrets.token_urlsafe(32)
    request.app.state.sessions[session] = form.get("contact", ["nobody"])[0]
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session, httponly=True, samesite="lax", secure=secure)
    return answer


async def my_bookings(request: Request, contact: Contact) -> Response:
    try:
        bookings = [each async for each in request.app.state.omnilab.bookings.list(contact)]
    except OmniLabError as error:
        return trouble(error)
    return page("my_bookings.html", contact=contact, bookings=bookings)


async def cancel(request: Request, booking_id: str, contact: Contact) -> Response:
    try:
        await request.app.state.omnilab.bookings.cancel(contact, booking_id, reason="Cancelled on the page")
    except BookingAlreadyCancelledError:
        pass  # a second click: what was wanted is so
    except OmniLabError as error:
        return trouble(error)
    return RedirectResponse("/", 303)


def trouble(error: OmniLabError) -> Response:
    """Words for the visitor; the code and the request id are for whoever looks into it."""
    status = 404 if error.status == 404 else 503
    return page("trouble.html", status, code=error.code, request_id=error.request_id)


def create_app() -> FastAPI:
    app = FastAPI(title="My bookings", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    ours = [Depends(from_our_own_page)]
    app.add_api_route("/log-in", log_in_page)
    app.add_api_route("/log-in", log_in, methods=["POST"], dependencies=ours)
    app.add_api_route("/", my_bookings)
    app.add_api_route("/bookings/{booking_id}/cancel", cancel, methods=["POST"], dependencies=ours)
    return app
