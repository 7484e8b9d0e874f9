"""Traces, received by a collector of the tests' own: what spans say and never hold, and a collector that is away."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.harness import Credentials, Omnilab, free_port

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Collector:
    """What came in: the raw bytes, and the spans by name and status."""

    url: str = ""
    raw: list[bytes] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)

    def wait_for(self, count: int) -> dict[tuple[str, int], Any]:
        deadline = time.monotonic() + 20
        while len(self.spans) < count:
            assert time.monotonic() < deadline, f"{len(self.spans)} of {count} spans"
            time.sleep(0.05)
        return {(span.name, attributes(span)["http.response.status_code"]): span for span in self.spans}


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            collector.raw.append(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    collector.spans += scope.spans
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the test's own output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        yield collector
        server.shutdown()
        thread.join()


def test_a_span_a_request_that_names_the_call_and_nobody_private(
    provisioned: tuple[Omnilab, Credentials], tmp_path: Path
) -> None:
    omnilab, client = provisioned[0].copied_to(tmp_path), provisioned[1]
    with collecting() as collector, omnilab.serve(traces_url=collector.url, traces_percent="100") as server:
        token = server.token(client)
        wrong = client.client_secret[:-8] + "AAAAAAAA"
        assert server.token_answer(client, client_secret=wrong).status_code == 401
        headers = {"Authorization": f"Bearer {token}", "traceparent": PARENT}
        query = {"external_id": "contact-1"}
        listed = server.http.get("/v1/interactions:fetchContactBookings", params=query, headers=headers)
        assert listed.status_code == 200
        server.http.get("/healthz")
        server.http.get("/v1/no-such-call-of-anybody")
        spans = collector.wait_for(3)
        granted, refused = spans["token", 200], spans["token", 401]
        assert attributes(granted)["omnilab.client_id"] == client.client_id
        assert attributes(refused)["error.type"] in ("client_authentication_failed", "secret_mistyped")
        assert "omnilab.client_id" not in attributes(refused)
        list_span = spans["fetchContactBookings", 200]
        assert (list_span.trace_id.hex(), list_span.parent_span_id.hex()) == (PARENT[3:35], PARENT[36:52])
        assert attributes(list_span)["omnilab.request_id"] == listed.headers["x-request-id"]
        assert attributes(list_span)["http.route"] == "/v1/interactions:fetchContactBookings"
        assert list_span.end_time_unix_nano >= list_span.start_time_unix_nano
    assert len(collector.spans) == 3
    sent = b"".join(collector.raw)
    for text in (token, client.client_secret, wrong, "contact-1", "no-such-call"):
        assert text.encode() not in sent


def test_a_broken_traceparent_is_ignored_and_a_part_is_sampled(
    provisioned: tuple[Omnilab, Credentials], tmp_path: Path
) -> None:
    omnilab, client = provisioned[0].copied_to(tmp_path), provisioned[1]
    with collecting() as collector, omnilab.serve(traces_url=collector.url, traces_percent="0") as server:
        token = server.token(client)
        for parent in ("nonsense", "00-zz-zz-01", PARENT):
            headers = {"Authorization": f"Bearer {token}", "traceparent": parent}
            assert server.http.get("/v1/oauth:whoami", headers=headers).status_code == 200
        collector.wait_for(1)
    assert [span.trace_id.hex() for span in collector.spans] == [PARENT[3:35]]


def test_a_collector_that_is_away_costs_spans_and_nothing_else(
    provisioned: tuple[Omnilab, Credentials], tmp_path: Path
) -> None:
    omnilab, client = provisioned[0].copied_to(tmp_path), provisioned[1]
    away = f"http://127.0.0.1:{free_port()}/v1/traces"
    with omnilab.serve(traces_url=away, traces_percent="100") as server:
        for _ in range(20):
            server.token(client)
        deadline = time.monotonic() + 30
        while "omnilab_traces_lost_total 0.0" in (text := server.http.get("/metrics").text):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert "omnilab_traces_lost_total" in text
