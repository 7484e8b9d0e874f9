"""A collector of the tests' own: takes spans over OTLP/HTTP as OpenTelemetry's does, and keeps them as they came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WITHIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it was read: ids in hexadecimal, the parent's empty where there is none."""

    name: str
    trace_id: str
    parent_id: str
    kind: int
    failed: bool
    nanoseconds: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Collector:
    """bodies: each request's bytes. status: its answer. hangs: it answers when told to `go_on`.
    go_away: nobody listens any more."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[str] = []
        self.go_on = threading.Event()
        self.status = 200
        self.hangs = False
        self.url = ""
        self.go_away: Callable[[], None] = lambda: None

    def spans(self) -> list[Span]:
        return [span for body in list(self.bodies) for span in _spans_of(body)]

    def wait_for(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """Every span, once there are enough of them."""
        deadline = time.monotonic() + WITHIN_SECONDS
        while not enough(found := self.spans()):
            assert time.monotonic() < deadline, f"only these spans came: {found}"
            time.sleep(0.05)
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a loopback port, until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if collector.hangs:
                collector.go_on.wait(WITHIN_SECONDS)
            elif collector.status == 200 and self.path == "/v1/traces":
                collector.bodies.append(body)
                collector.headers.append(str(self.headers))
            self.send_response(collector.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def go_away() -> None:
        collector.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()

    collector.go_away = go_away
    try:
        yield collector
    finally:
        go_away()


def _spans_of(body: bytes) -> Iterator[Span]:
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    kind=span.kind,
                    failed=span.status.code == 2,
                    nanoseconds=span.end_time_unix_nano - span.start_time_unix_nano,
                    attributes=_values(span.attributes),
                    resource=resource,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
