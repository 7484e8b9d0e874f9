"""The ASGI application: host, route, method, gate, handler, in this order, and one place that answers every error.

Promises that every answer carries `X-Request-Id`, that every refusal of a call is recorded (durably before the
answer, where the operation asks for it), and that no exception's text reaches a caller. Knows no house: it is
handed operations, a gate and a recorder.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Router
from starlette.types import Message, Receive, Scope, Send

from omnilab.clock import Clock
from omnilab.errors import OmniLabError, RequestError, UnavailableError
from omnilab.telemetry.redaction import excerpt, looks_like_credential, mask
from omnilab.web.addresses import AddressRules
from omnilab.web.exchange import ClientGoneError, Exchange, Header
from omnilab.web.hosts import HostRules
from omnilab.web.operation import Operation
from omnilab.web.problems import PROBLEM_TYPE, oauth_answer, problem_answer
from omnilab.web.routing import Route, RouteTable

_log = structlog.get_logger("omnilab.web")

# A caller's own id is kept beside ours, so it may hold nothing that breaks a log line or a header.
_CALLER_REQUEST_ID = re.compile(rb"[0-9A-Za-z._:/+=@-]{1,128}")
_CLIENT_GONE = 499  # nginx's status for logs; never sent


class Gate(Protocol):
    """The way into a protected call. Raises OmniLabError when the caller may not enter."""

    async def admit(self, exchange: Exchange, operation: Operation) -> Any: ...


class Recorder(Protocol):
    """Keeps the audit record of a refusal; returns when it is as durable as the operation asks for."""

    async def refused(self, exchange: Exchange, operation: Operation | None, error: OmniLabError) -> None: ...


class Observer(Protocol):
    """Sees each finished exchange: the access log and the metrics."""

    def observe(self, exchange: Exchange, duration_seconds: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an application is put together from.

    docs_url: without trailing slash; errors link to `<docs_url>/errors/<code>`. resource_metadata_of: the tenant key of
    a host (None: the platform's) → the URL of its API's metadata (RFC 9728), which a 401 names. observers: called once
    for each request, after its answer. simulate: raises what a developer wants to try (development only).
    lifespan: an ASGI lifespan, run by the server.
    """

    gate: Gate
    recorder: Recorder
    ids: Callable[[], str]
    clock: Clock
    hosts: HostRules
    addresses: AddressRules
    docs_url: str
    resource_metadata_of: Callable[[str | None], str] = lambda _: ""
    observers: Sequence[Observer] = ()
    simulate: Callable[[Exchange], Awaitable[None]] | None = None
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None


class Application:
    """The service as one ASGI application.

    pages: Starlette routes for what people read in a browser; tried after the operations.
    """

    def __init__(self, operations: Iterable[Operation], parts: Parts, *, pages: Sequence[BaseRoute] = ()) -> None:
        self._routes = RouteTable(operations)
        # A slash added or taken away would be a redirect, and a redirect turns POST into GET.
        self._pages = Router(list(pages), redirect_slashes=False, lifespan=parts.lifespan)
        self._gate = parts.gate
        self._recorder = parts.recorder
        self._ids = parts.ids
        self._clock = parts.clock
        self._hosts = parts.hosts
        self._addresses = parts.addresses
        self._docs_url = parts.docs_url
        self._resource_metadata_of = parts.resource_metadata_of
        self._observers = tuple(parts.observers)
        self._simulate = parts.simulate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._begin_or_close(scope, receive, send)
            return
        started = self._clock.monotonic()
        exchange = Exchange(scope, receive, send, request_id=self._ids())
        route = self._routes.find(scope.get("raw_path") or scope["path"].encode())
        try:
            operation = exchange.operation or self._judge_head(exchange, route)
            if operation is None:
                await self._serve_page(exchange)
            else:
                if self._simulate is not None:
                    await self._simulate(exchange)
                if operation.protected:
                    exchange.caller = await self._gate.admit(exchange, operation)
                await operation.handler(exchange)
        except OmniLabError as error:
            await self._refuse(exchange, route, error)
        except ClientGoneError:
            exchange.status = _CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, the caller gets an answer
            await self._crashed(exchange, route, error)
        finally:
            duration = self._clock.monotonic() - started
            for observer in self._observers:
                observer.observe(exchange, duration)

    async def _begin_or_close(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._pages(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def _judge_head(self, exchange: Exchange, route: Route | None) -> Operation | None:
        """What a head that is seen for the first time asks for; None: a page, or nothing."""
        self._addresses.apply(exchange)
        if route is None:
            return None
        exchange.path = route.path
        if not route.any_host:
            exchange.host_tenant = self._hosts.tenant_of(exchange.header(b"host"))
        exchange.caller_request_id = _caller_request_id(exchange)
        operation = route.operation(exchange.method)
        exchange.keep_head(operation)
        return operation

    async def _serve_page(self, exchange: Exchange) -> None:
        exchange.host_tenant = self._hosts.tenant_of(exchange.header(b"host"))
        exchange.caller_request_id = _caller_request_id(exchange)
        # With "app" in the scope Starlette raises its 404 and 405 instead of answering them itself.
        scope = {**exchange.scope, "app": self}
        try:
            await self._pages(scope, exchange.receive, _page_send(exchange))
        except HTTPException as error:
            if exchange.status:
                raise
            raise _page_error(exchange, error) from error

    async def _refuse(self, exchange: Exchange, route: Route | None, error: OmniLabError) -> None:
        if exchange.status:
            # The answer has begun: cutting the connection is the one honest sign left.
            raise error
        exchange.subject = exchange.subject or error.subject
        if _is_a_call(exchange, route):
            error = await self._record(exchange, error)
        for header in getattr(error, "headers", ()):
            if header not in exchange.extra_headers:
                exchange.extra_headers.append(header)
        exchange.code = error.code
        status, body, headers, content_type = self._form(exchange, route, error)
        await exchange.answer(status, body, content_type=content_type, headers=headers)

    async def _record(self, exchange: Exchange, error: OmniLabError) -> OmniLabError:
        """Record a refusal; the error to answer with is another one if that fails."""
        try:
            await self._recorder.refused(exchange, exchange.operation, error)
        except UnavailableError as unavailable:
            return unavailable
        except Exception as failure:  # noqa: BLE001 - no record, no answer: it becomes a 503
            _log.error("refusal_not_recorded", request_id=exchange.request_id, exc_info=failure)
            return UnavailableError("the refusal could not be recorded")
        return error

    async def _crashed(self, exchange: Exchange, route: Route | None, error: Exception) -> None:
        """Answer 503: nothing is known to be done, and the caller may repeat. The text stays in the log."""
        _log.error("request_crashed", request_id=exchange.request_id, path=excerpt(exchange.path, 200), exc_info=error)
        if exchange.status:
            raise error
        await self._refuse(exchange, route, UnavailableError(f"crash: {type(error).__name__}"))

    def _form(
        self, exchange: Exchange, route: Route | None, error: OmniLabError
    ) -> tuple[int, bytes, list[Header], bytes]:
        if route is not None and route.any_operation.error_format == "oauth":
            basic = any(value[:6].lower() == b"basic " for value in exchange.headers(b"authorization"))
            status, body, headers = oauth_answer(
                error, request_id=exchange.request_id, docs_url=self._docs_url, basic_tried=basic
            )
            content_type = b"application/json"
        else:
            status, body, headers = problem_answer(
                error,
                request_id=exchange.request_id,
                docs_url=self._docs_url,
                resource_metadata=self._resource_metadata_of(exchange.host_tenant),
            )
            content_type = PROBLEM_TYPE
        if status == 405 and route is not None:
            headers.append((b"allow", route.allow))
        elif status == 413:
            headers.append((b"connection", b"close"))  # the rest of the body is not worth reading
        return status, body, headers, content_type


def _is_a_call(exchange: Exchange, route: Route | None) -> bool:
    """Scanners ask for thousands of pages that never were; only what was meant as a call is recorded."""
    if route is None:
        return exchange.path.startswith("/v1/")
    return not route.any_operation.any_host


def _caller_request_id(exchange: Exchange) -> str | None:
    value = exchange.header(b"x-request-id")
    if value is None or not _CALLER_REQUEST_ID.fullmatch(value):
        return None
    text = value.decode("ascii")
    return mask(text) if looks_like_credential(text) else text


def _page_error(exchange: Exchange, error: HTTPException) -> RequestError:
    """Starlette's 404 and 405 in our tree."""
    if error.status_code == 405:
        # Starlette joins a set: the order would differ from one process to the next.
        allow = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        exchange.extra_headers.append((b"allow", allow.encode("latin-1")))
        return RequestError(
            "method_not_allowed",
            f"This page is read with {allow}.",
            check="method",
            expected=allow,
            found=excerpt(exchange.method, 20),
        )
    return RequestError(
        "not_found",
        "There is nothing at this path. Paths are exact: case, slashes and the colon count.",
        check="route",
        expected="the path of a call",
        found=excerpt(exchange.path, 200),
    )


def _page_send(exchange: Exchange) -> Send:
    """Pages answer through Starlette, so their headers are added on the way out."""

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", exchange.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
                *exchange.extra_headers,
            ]
        await exchange.send(message)

    return send
