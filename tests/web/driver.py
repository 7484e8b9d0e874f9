"""A tiny ASGI driver and a made-up application: what the tests of `web` send their requests through."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import BaseRoute

from omnilab.clock import SystemClock
from omnilab.crypto.random import RequestIds
from omnilab.errors import OmniLabError
from omnilab.web.addresses import AddressRules
from omnilab.web.application import Application, Parts
from omnilab.web.exchange import Exchange
from omnilab.web.hosts import HostRules
from omnilab.web.operation import Operation

DOCS = "https://docs.example/docs"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value.decode() for key, value in self.headers if key.decode().lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Recorded:
    """A recorder that keeps what it was told, or fails when told to."""

    refusals: list[tuple[Exchange, Operation | None, OmniLabError]] = field(default_factory=list)
    failure: Exception | None = None

    async def refused(self, exchange: Exchange, operation: Operation | None, error: OmniLabError) -> None:
        if self.failure is not None:
            raise self.failure
        self.refusals.append((exchange, operation, error))


@dataclass
class OpenGate:
    """Admits everybody, or refuses with the error it was given."""

    refusal: OmniLabError | None = None

    async def admit(self, exchange: Exchange, operation: Operation) -> object:
        if self.refusal is not None:
            raise self.refusal
        return "the caller"


@dataclass
class Seen:
    """An observer that keeps what it saw."""

    exchanges: list[Exchange] = field(default_factory=list)

    def observe(self, exchange: Exchange, duration_seconds: float) -> None:
        assert duration_seconds >= 0
        self.exchanges.append(exchange)


@dataclass
class World:
    """An application with everything around it in reach of the test."""

    operations: list[Operation]
    pages: list[BaseRoute] = field(default_factory=list)
    environment: str = "development"
    trusted_proxies: tuple[str, ...] = ()
    gate: OpenGate = field(default_factory=OpenGate)
    recorder: Recorded = field(default_factory=Recorded)
    seen: Seen = field(default_factory=Seen)

    def __post_init__(self) -> None:
        clock = SystemClock()
        self.app = Application(
            self.operations,
            Parts(
                gate=self.gate,
                recorder=self.recorder,
                ids=RequestIds(clock),
                clock=clock,
                hosts=HostRules(
                    environment=self.environment, public_url="https://api.omni.example", tenant_domain="omni.example"
                ),
                addresses=AddressRules([ipaddress.ip_network(each) for each in self.trusted_proxies]),
                docs_url=DOCS,
                observers=[self.seen],
            ),
            pages=self.pages,
        )

    def send(self, method: str, target: str, **rest: Any) -> Answer:
        """One request; see `request`."""
        return asyncio.run(request(self.app, method, target, **rest))


async def request(
    app: Any,
    method: str,
    target: str,
    *,
    headers: list[tuple[str, str]] | None = None,
    body: bytes | list[bytes] = b"",
    peer: str = "203.0.113.9",
) -> Answer:
    """Send one request. A list body is streamed; a Host header is added unless one is given."""
    raw_path, _, query = target.partition("?")
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers or []]
    if not any(name == b"host" for name, _ in pairs):
        pairs.append((b"host", b"api.omni.example"))
    chunks = body if isinstance(body, list) else [body]
    if not isinstance(body, list) and body:
        pairs.append((b"content-length", str(len(body)).encode()))
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": raw_path.replace("%3A", ":").replace("%3a", ":"),
        "raw_path": raw_path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": pairs,
        "client": (peer, 1234),
        "server": ("127.0.0.1", 8080),
    }
    events = [
        {"type": "http.request", "body": chunk, "more_body": place < len(chunks) - 1}
        for place, chunk in enumerate(chunks)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0) if events else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return Answer(0, [], b"")
    assert [each["type"] for each in sent].count("http.response.start") == 1
    content = b"".join(each.get("body", b"") for each in sent if each["type"] == "http.response.body")
    return Answer(sent[0]["status"], sent[0]["headers"], content)


def operation(path: str = "/v1/things:list", method: str = "GET", **rest: Any) -> Operation:
    """An operation that answers `{"ok":true}` unless it is given a handler."""

    async def answer_ok(exchange: Exchange) -> None:
        await exchange.answer(200, b'{"ok":true}')

    rest.setdefault("handler", answer_ok)
    rest.setdefault("operation_id", path.rpartition(":")[2] + method)
    return Operation(method=method, path=path, summary="A made-up call", **rest)
