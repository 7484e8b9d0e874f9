"""Protecting any ASGI application: no call gets past without a proved caller.

Promises that the application sees `scope["state"]["caller"]` (in Starlette and FastAPI: `request.state.caller`) and
may end a call with `caller.require("bookings:read")`: what that raises becomes a 403 here. Must not know what the
application does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from omnilab.guard.answers import problem_answer
from omnilab.guard.bearer import read_bearer
from omnilab.guard.errors import GuardError
from omnilab.guard.guard import Guard

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


class GuardMiddleware:
    """Lets calls with a valid access token through to `app` and answers the others.

    guard: what proves tokens. open_paths: paths that need none (`/healthz`), compared exactly. docs_url: whose
    `/errors/<code>` explains a refusal; the issuer's own by default.

    400 for two tokens, 401 for a missing or invalid one, 403 for a missing right, 503 with `Retry-After` while the
    issuer's keys cannot be had, all as problem+json, the second and third with `WWW-Authenticate`. With JWKS alone a
    token is accepted until its `exp`, whatever was revoked since; see `omnilab.guard.guard`.
    """

    def __init__(
        self, app: Application, guard: Guard, *, open_paths: Collection[str] = (), docs_url: str | None = None
    ) -> None:
        self._app = app
        self._guard = guard
        self._open_paths = frozenset(open_paths)
        self._docs_url = (docs_url or f"{guard.issuer}/docs").rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        has_answered = False

        async def send_noting(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        try:
            token = read_bearer([value for name, value in scope["headers"] if name == b"authorization"])
            caller = await self._guard.verify(token)
            state = {**scope.get("state", {}), "caller": caller}
            await self._app({**scope, "state": state}, receive, send_noting)
        except GuardError as error:
            if has_answered:
                raise
            await self._refuse(error, scope, receive, send)

    async def _refuse(self, error: GuardError, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()  # websocket.connect; closed before it is accepted, the server answers 403
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        request_id = scope.get("state", {}).get("request_id")
        status, body, headers = problem_answer(error, docs_url=self._docs_url, request_id=request_id)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
