"""Traces: one server span a request, sent in batches to an OTLP/HTTP collector by a thread of its own.

Promises that a span holds only what is from closed sets (call, method, status, code), proved (client, tenant) or ours
(request id): no path, query, header, body or address. No answer waits for the collector, no stop waits longer than
`CLOSE_SECONDS`, memory is bounded, and every span that does not arrive is counted. Loads OpenTelemetry's SDK, so it is
imported only where traces are asked for, and in the worker: a fork takes no thread along.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context

from omnilab import __version__
from omnilab.clock import Clock
from omnilab.telemetry.traceparent import Parent, find_parent, in_share

CLOSE_SECONDS = 1.5
# A span of ours is about 1 kB in memory and 400 bytes on the wire.
WAITING_SPANS = 2048
_BATCH_SPANS = 256
_DELAY_MS = 1000
_ANSWER_SECONDS = 5.0  # for one batch, with all that is tried again
_PATH = "/v1/traces"
_EXPORTER_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
# RFC 9110 and RFC 5789; the semantic conventions call any other `_OTHER`, for a caller may send what it likes.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})


class Finished(Protocol):
    """What a span needs of a finished exchange."""

    request_id: str
    method: str
    status: int
    code: str
    operation: Any
    caller: Any
    subject: Any

    def headers(self, name: bytes) -> list[bytes]: ...


class Traces:
    """Observes finished requests. One per process, made on its event loop.

    url: where the collector takes traces; without a path `/v1/traces` is meant. Headers that it wants stand in
    `OTEL_EXPORTER_OTLP_HEADERS`, as for every exporter of OpenTelemetry. ratio: the share that is traced, 0 to 1.
    """

    def __init__(self, url: str, clock: Clock, *, ratio: float, environment: str) -> None:
        self._clock = clock
        self._ratio = ratio
        self._exporter = _CountedExporter(url if urlsplit(url).path else url + _PATH)
        processor = BatchSpanProcessor(
            self._exporter, WAITING_SPANS, schedule_delay_millis=_DELAY_MS, max_export_batch_size=_BATCH_SPANS
        )
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=_resource(environment), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("omnilab", __version__)
        self._taken = 0
        self._refused = 0

    @property
    def exported(self) -> int:
        """How many spans the collector has taken."""
        return self._exporter.exported

    @property
    def dropped(self) -> int:
        """How many spans it has not, and never will."""
        return self._exporter.failed + self._refused

    def observe(self, exchange: Finished, duration_seconds: float) -> None:
        """Take the span of a finished request, if it belongs to the share and its caller does not ask otherwise."""
        if not in_share(exchange.request_id, self._ratio):
            return
        parent = find_parent(exchange.headers(b"traceparent"))
        if parent is not None and not parent.sampled:
            return
        if self._taken - self._exporter.exported - self._exporter.failed >= WAITING_SPANS:
            self._refused += 1
            return
        self._taken += 1
        self._take(exchange, duration_seconds, parent)

    async def close(self) -> None:
        """Send what waits; what the collector has not taken in time is dropped."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # nobody waits any more, and the loop is closed
                loop.call_soon_threadsafe(done.set)

        # Not one of the loop's own threads: their end is waited for.
        threading.Thread(target=shut_down, name="omnilab-traces-close", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await done.wait()
        self._exporter.give_up()

    def _take(self, exchange: Finished, duration_seconds: float, parent: Parent | None) -> None:
        operation = exchange.operation
        end = self._clock.now_ms() * 1_000_000
        span = self._tracer.start_span(
            operation.operation_id if operation is not None else "other",
            context=Context() if parent is None else _context_of(parent),
            kind=SpanKind.SERVER,
            attributes=_attributes(exchange),
            start_time=end - int(duration_seconds * 1e9),
        )
        if exchange.status >= 500:  # the conventions: what a caller did wrong is no error of the server
            span.set_status(StatusCode.ERROR)
        span.end(end)


def _attributes(exchange: Finished) -> dict[str, str | int]:
    who = exchange.caller or exchange.subject
    attributes: dict[str, str | int] = {
        "http.request.method": exchange.method if exchange.method in _METHODS else "_OTHER",
        "http.response.status_code": exchange.status or 499,
        "omnilab.request_id": exchange.request_id,
    }
    if exchange.operation is not None:
        attributes["http.route"] = exchange.operation.path
    if exchange.code:
        attributes["omnilab.code"] = exchange.code
    if who is not None:
        attributes["omnilab.tenant"] = who.tenant
        attributes["omnilab.client_id"] = who.client_id
    return attributes


def _context_of(parent: Parent) -> Context:
    remote = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _resource(environment: str) -> Resource:
    return Resource.create(
        {
            "service.name": "omnilab",
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            "deployment.environment.name": environment,
        }
    )


class _CountedExporter(SpanExporter):
    """The SDK's exporter, with what came of each span. Runs in the thread of the batches."""

    def __init__(self, endpoint: str) -> None:
        self._inner = OTLPSpanExporter(endpoint=endpoint, timeout=_ANSWER_SECONDS)
        self._told = _FirstOfAnAbsence()
        logging.getLogger(_EXPORTER_LOG).addFilter(self._told)
        self._gave_up = False
        self.exported = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE if self._gave_up else self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
            self._told.absent = False
        else:
            self.failed += len(spans)
        return result

    def give_up(self) -> None:
        """Try nothing again, and nothing more."""
        if not self._gave_up:
            self._gave_up = True
            self._told.absent = True
            self._inner.shutdown()  # type: ignore[no-untyped-call]

    def shutdown(self) -> None:
        self.give_up()


class _FirstOfAnAbsence(logging.Filter):
    """Lets the exporter say once why the collector does not take spans, and not with every batch."""

    absent = False

    def filter(self, _record: logging.LogRecord) -> bool:
        first, self.absent = not self.absent, True
        return first
