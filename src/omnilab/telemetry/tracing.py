"""Traces: a span for each request, sent to an OpenTelemetry collector in the background.

Promises that a span holds nothing but what comes from closed sets, was proved or is ours (call, method, status, code,
tenant, client, request id): no path of no call, no query, no header, no contact. A collector that is away costs spans
and nothing else: they wait in a bounded queue, are counted when they are lost, and no answer waits for them, nor a stop
for longer than a second. Imports OpenTelemetry only when it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from omnilab.clock import Clock

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

_QUEUE_SPANS = 4096
_BATCH_SPANS = 512
_EVERY_MS = 1000
_EXPORT_SECONDS = 2
_STOP_MS = 1000


class Finished(Protocol):
    """What a span needs of a finished exchange."""

    request_id: str
    method: str
    status: int
    code: str
    operation: Any
    subject: Any
    scope: Any


class Tracer:
    """Observes finished requests. Made on the worker that uses it, for its exporter has a thread.

    url: an OTLP/HTTP endpoint, such as `http://collector:4318/v1/traces`. percent: of requests without a parent that is
    sampled; a caller's `traceparent` (W3C) is continued, and its sampled flag counts. Raises ImportError where
    OpenTelemetry is not installed.
    """

    def __init__(self, url: str, clock: Clock, *, percent: int, instance: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._clock = clock
        self._kind = SpanKind.SERVER
        self._context = TraceContextTextMapPropagator()
        self._exporter = _Counting(OTLPSpanExporter(endpoint=url, timeout=_EXPORT_SECONDS))
        resource = Resource.create({"service.name": "omnilab", "service.instance.id": instance})
        sampler = ParentBased(TraceIdRatioBased(percent / 100))
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(
            cast("SpanExporter", self._exporter),
            max_queue_size=_QUEUE_SPANS,
            max_export_batch_size=_BATCH_SPANS,
            schedule_delay_millis=_EVERY_MS,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("omnilab")

    @property
    def lost(self) -> int:
        """How many spans the collector did not take so far."""
        return self._exporter.lost

    def observe(self, exchange: Finished, duration_seconds: float) -> None:
        """Make the span of a finished request; health checks and pages have none."""
        operation = exchange.operation
        if operation is None or operation.any_host:
            return
        parents = [value for name, value in exchange.scope["headers"] if name == b"traceparent"]
        carrier = {"traceparent": parents[0].decode("latin-1")} if len(parents) == 1 else {}
        end_ns = self._clock.now_ms() * 1_000_000
        span = self._tracer.start_span(
            operation.operation_id,
            context=self._context.extract(carrier),
            kind=self._kind,
            attributes=_attributes(exchange),
            start_time=end_ns - int(duration_seconds * 1e9),
        )
        if exchange.status >= 500:
            from opentelemetry.trace import StatusCode

            span.set_status(StatusCode.ERROR)
        span.end(end_time=end_ns)

    def close(self) -> None:
        """Send what waits, for a second at most."""
        self._processor.force_flush(_STOP_MS)
        self._exporter.is_closed = True


def _attributes(exchange: Finished) -> dict[str, str | int]:
    """By OpenTelemetry's conventions for HTTP, and ours."""
    found: dict[str, str | int] = {
        "http.request.method": exchange.method,
        "http.route": exchange.operation.path,
        "http.response.status_code": exchange.status,
        "omnilab.request_id": exchange.request_id,
    }
    if exchange.code:
        found["error.type"] = exchange.code
    if exchange.subject is not None:
        found["omnilab.tenant"] = exchange.subject.tenant
        found["omnilab.client_id"] = exchange.subject.client_id
    return found


class _Counting:
    """An exporter that counts what its collector did not take, and lets it go."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.lost = 0
        self.is_closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        from opentelemetry.sdk.trace.export import SpanExportResult

        if self.is_closed:
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self.lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = _STOP_MS) -> bool:
        return self._inner.force_flush(timeout_millis)
