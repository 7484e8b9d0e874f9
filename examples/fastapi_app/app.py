"""A FastAPI application whose calls need an OmniLab access token, each with the right it asks for.

Run it beside an OmniLab of your own (`make demo`):

    export OMNILAB_ISSUER=http://127.0.0.1:8080 OMNILAB_AUDIENCE=urn:omnilab:development:acme
    uvicorn --app-dir examples/fastapi_app app:create_app --factory --port 9000
    curl http://127.0.0.1:9000/bookings -H "Authorization: Bearer $TOKEN"

Only the issuer's public keys are asked for, once and then every five minutes. So a token counts until its `exp`, also
when its credential was revoked meanwhile; keep lifetimes short where that matters.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from omnilab.guard import Caller, Guard, GuardMiddleware


def caller_with(endpoint: str) -> Callable[[Request], Caller]:
    """A dependency: the proved caller, once it may call `endpoint`. Without the right the answer is 403."""

    def find_caller(request: Request) -> Caller:
        caller: Caller = request.state.caller
        caller.require(endpoint)
        return caller

    return find_caller


Reader = Annotated[Caller, Depends(caller_with("bookings:read"))]
Canceller = Annotated[Caller, Depends(caller_with("bookings:cancel"))]


async def list_bookings(caller: Reader) -> dict[str, object]:
    return {"tenant": caller.tenant, "client_id": caller.client_id, "bookings": []}


async def cancel_booking(booking_id: str, caller: Canceller) -> dict[str, str]:
    return {"tenant": caller.tenant, "booking_id": booking_id, "booking_status": "CANCELLED"}


async def health() -> dict[str, str]:
    return {"status": "ok"}


def create_app() -> FastAPI:
    issuer = os.environ["OMNILAB_ISSUER"]
    guard = Guard(
        issuer=issuer,
        audience=os.environ["OMNILAB_AUDIENCE"],
        jwks_url=f"{issuer}/.well-known/jwks.json",
    )
    app = FastAPI(title="Bookings, protected")
    app.add_api_route("/bookings", list_bookings)
    app.add_api_route("/bookings/{booking_id}/cancel", cancel_booking, methods=["POST"])
    app.add_api_route("/healthz", health)
    app.add_middleware(GuardMiddleware, guard=guard, open_paths=["/healthz"])
    return app
