"""One request and its one answer, as the routes see them.

Promises that every answer carries `X-Request-Id` and the security headers, that the address and the host have
been judged, and that the body is never longer than asked for. Made for the hot path: no wrappers around ASGI's
`receive` and `send`, headers indexed once. Must not know any house.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from starlette.types import Receive, Scope, Send

from omnilab.errors import RequestError, Subject

if TYPE_CHECKING:
    from omnilab.web.operation import Operation

BODY_LIMIT_BYTES = 16_384

Header = tuple[bytes, bytes]

_NOSNIFF: Header = (b"x-content-type-options", b"nosniff")
_NO_STORE: Header = (b"cache-control", b"no-store")
_NO_EXTENSIONS: dict[str, Any] = {}


class WholeRequest(Protocol):
    """What our own server offers beside ASGI's messages: the body at once, an answer in one call, and notes that are
    there again when the connection repeats this request's head; None where nothing may be kept."""

    notes: dict[str, Any] | None

    def whole_body(self) -> bytes: ...

    def answer(self, status: int, fixed: bytes, headers: list[Header], body: bytes) -> None: ...


class ClientGoneError(Exception):
    """The client closed the connection before its request was read; there is nobody to answer."""


class Head(NamedTuple):
    """What a connection and the head of a request tell, as `Exchange` has it; nothing of the request itself."""

    operation: Operation | None
    scheme: str
    path: str
    header: Callable[[bytes], bytes | None]
    address: str
    address_group: str
    host_tenant: str | None
    caller_request_id: str | None


class Exchange:
    """A request with its answer. Made by `Application`, used by one task.

    address: the caller's address (the peer, or what trusted proxies forwarded); address_group: the same for
    counting (an IPv6 address counts by its /64). header: the header of a lower-case name, or None; raises
    RequestError when it came more than once, for which one counts would be a guess. host_tenant: the tenant key of the
    host, None on the platform's host. operation: what it asks for, once its head is judged. caller: what the
    gate made of the access token. subject: whose request it proved to be. extra_headers: headers that any later answer
    carries, a refusal too. status and code: of the answer, once it is made; code is the public code of a refusal.
    """

    __slots__ = (
        "_body",
        "_whole",
        "address",
        "address_group",
        "caller",
        "caller_request_id",
        "code",
        "extra_headers",
        "header",
        "host_tenant",
        "method",
        "operation",
        "path",
        "query_string",
        "receive",
        "request_id",
        "scheme",
        "scope",
        "send",
        "status",
        "subject",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, request_id: str) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.request_id = request_id
        self.method: str = scope["method"]
        self.query_string: bytes = scope["query_string"]
        self.caller: Any = None
        self.subject: Subject | None = None
        self.extra_headers: list[Header] = []
        self.status = 0
        self.code = ""
        self._body: bytes | None = None
        # The server's own request, where the server is ours: it has the whole body, and takes a whole answer.
        self._whole: WholeRequest | None = scope.get("extensions", _NO_EXTENSIONS).get("omnilab.whole")
        head = _unjudged(scope) if self._whole is None or not self._whole.notes else self._whole.notes["head"]
        self.operation: Operation | None = head.operation
        self.scheme: str = head.scheme
        self.path: str = head.path
        self.header: Callable[[bytes], bytes | None] = head.header
        self.address: str = head.address
        self.address_group: str = head.address_group
        self.host_tenant: str | None = head.host_tenant
        self.caller_request_id: str | None = head.caller_request_id

    def keep_head(self, operation: Operation) -> None:
        """The head is judged: it asks for this, and so does the next request of this connection that repeats it."""
        self.operation = operation
        if self._whole is not None and self._whole.notes is not None:
            self._whole.notes["head"] = Head(
                operation,
                self.scheme,
                self.path,
                self.header,
                self.address,
                self.address_group,
                self.host_tenant,
                self.caller_request_id,
            )

    def headers(self, name: bytes) -> list[bytes]:
        """All values of a header that may repeat, in order."""
        return [value for key, value in self.scope["headers"] if key == name]

    async def body(self, limit: int = BODY_LIMIT_BYTES) -> bytes:
        """The whole body, read once.

        Raises RequestError `body_too_large` above `limit` bytes, whether the length was declared or not.
        """
        if self._body is not None:
            return self._body
        declared = self.header(b"content-length")
        if declared is not None and declared.isdigit() and int(declared[:12]) > limit:
            raise _too_large(limit, f"{declared[:12].decode()} bytes declared")
        body = await self._received_body(limit) if self._whole is None else self._whole.whole_body()
        if len(body) > limit:
            raise _too_large(limit, f"{len(body)} bytes")
        self._body = body
        return body

    async def _received_body(self, limit: int) -> bytes:
        message = await self.receive()
        if message["type"] != "http.request":
            raise ClientGoneError
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._rest_of_body(body, limit)
        return body

    async def _rest_of_body(self, first: bytes, limit: int) -> bytes:
        chunks, size, more = [first], len(first), True
        while more and size <= limit:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGoneError
            chunk: bytes = message.get("body", b"")
            chunks.append(chunk)
            size += len(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)

    async def answer(
        self,
        status: int,
        body: bytes,
        *,
        content_type: bytes = b"application/json",
        headers: Sequence[Header] = (),
    ) -> None:
        """Send the one answer. `Cache-Control` is `no-store` unless `headers` brings its own."""
        self.status = status
        own = [(b"x-request-id", self.request_id.encode()), *self.extra_headers]
        if self._whole is not None:
            self._whole.answer(status, _lines(content_type, tuple(headers)), own, body)
            return
        head = [*_head(content_type, headers), *own, (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})


def _only(headers: list[Header], name: bytes) -> bytes | None:
    values = [value for key, value in headers if key == name]
    if len(values) > 1:
        raise RequestError(
            "request_malformed",
            f"The header {name.decode('latin-1').title()} is given more than once; send it once.",
            check="parameters",
            expected="one header",
            found="several",
        )
    return values[0] if values else None


def _unjudged(scope: Scope) -> Head:
    """The head of a request as it came, before anything is made of it."""
    headers: list[Header] = scope["headers"]
    by_name = dict(headers)
    header = by_name.get if len(by_name) == len(headers) else partial(_only, headers)
    return Head(None, scope["scheme"], scope["path"], header, "", "", None, None)


def _head(content_type: bytes, headers: Sequence[Header]) -> list[Header]:
    """The headers of an answer that hold nothing of its request."""
    kept_out = () if any(name == b"cache-control" for name, _ in headers) else (_NO_STORE,)
    return [(b"content-type", content_type), _NOSNIFF, *headers, *kept_out]


@lru_cache(maxsize=256)
def _lines(content_type: bytes, headers: tuple[Header, ...]) -> bytes:
    """The same as lines, made once. Raises RuntimeError for a line break, which would begin a header of its own."""
    head = _head(content_type, headers)
    text = b"".join([b"%b: %b\r\n" % header for header in head])
    if text.count(b"\n") != len(head) or text.count(b"\r") != len(head):
        raise RuntimeError("a header of the answer holds a line break")
    return text


def _too_large(limit: int, found: str) -> RequestError:
    return RequestError(
        "body_too_large",
        f"The body has more than {limit} bytes; send only the documented fields.",
        check="body",
        expected=f"at most {limit} bytes",
        found=found,
    )
