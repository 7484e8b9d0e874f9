"""A plain Starlette application whose calls need an OmniLab access token.

Run it beside an OmniLab of your own (`make demo`):

    export OMNILAB_ISSUER=http://127.0.0.1:8080 OMNILAB_AUDIENCE=urn:omnilab:development:acme
    uvicorn --app-dir examples/starlette_app app:create_app --factory --port 9000
    curl http://127.0.0.1:9000/bookings -H "Authorization: Bearer $TOKEN"

Only the issuer's public keys are asked for, once and then every five minutes. So a token counts until its `exp`, also
when its credential was revoked meanwhile; keep lifetimes short where that matters.
"""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from omnilab.guard import Caller, Guard, GuardMiddleware


async def list_bookings(request: Request) -> JSONResponse:
    caller: Caller = request.state.caller
    caller.require("bookings:read")  # what this raises becomes a 403 that says what is missing
    return JSONResponse({"tenant": caller.tenant, "client_id": caller.client_id, "bookings": []})


async def health(_: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def create_app() -> Starlette:
    issuer = os.environ["OMNILAB_ISSUER"]
    guard = Guard(
        issuer=issuer,
        audience=os.environ["OMNILAB_AUDIENCE"],
        jwks_url=f"{issuer}/.well-known/jwks.json",
    )
    return Starlette(
        routes=[Route("/bookings", list_bookings), Route("/healthz", health)],
        middleware=[Middleware(GuardMiddleware, guard=guard, open_paths=["/healthz"])],
    )
