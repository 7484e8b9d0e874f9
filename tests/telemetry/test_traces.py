"""Traces from outside: a served installation and a collector that speaks OTLP over HTTP."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from omnilab.telemetry.traceparent import find_parent, in_share
from omnilab.telemetry.tracing import WAITING_SPANS
from tests.harness import Credentials, Omnilab, Server, bearer, free_port
from tests.system.hunting import random_part
from tests.telemetry.collector import Collector, Span, collecting

TRACE, CALLERS_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LIST = "/v1/interactions:fetchContactBookings"
SERVER_KIND = 2
FAR_BELOW_THE_SDKS_30_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Scene:
    server: Server
    client: Credentials
    collector: Collector

    def span_of(self, request_id: str) -> Span:
        found = self.collector.wait_for(lambda spans: any(_is_of(request_id, span) for span in spans))
        [span] = [span for span in found if _is_of(request_id, span)]
        return span


def _is_of(request_id: str, span: Span) -> bool:
    return bool(span.attributes["omnilab.request_id"] == request_id)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, provisioned: tuple[Omnilab, Credentials]) -> Iterator[Scene]:
    """Two workers, every request traced."""
    template, client = provisioned
    omnilab = template.copied_to(tmp_path_factory.mktemp("traced"))
    with collecting() as collector, omnilab.serve(2, traces_url=collector.url, traces_ratio="1") as server:
        yield Scene(server, client, collector)


def apart(provisioned: tuple[Omnilab, Credentials], folder: Path) -> Omnilab:
    """A copy on a port of its own: the scene still serves on the template's."""
    omnilab = provisioned[0].copied_to(folder / "omnilab")
    omnilab.port = free_port()
    omnilab.url = f"http://127.0.0.1:{omnilab.port}"
    return omnilab


def figure(server: Server, name: str) -> float:
    text = server.http.get("/metrics").text
    [value] = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


def wait_for_figure(server: Server, name: str, least: float) -> float:
    deadline = time.monotonic() + 30
    while (value := figure(server, name)) < least:
        assert time.monotonic() < deadline, f"{name} stays at {value}"
        time.sleep(0.05)
    return value


def test_a_token_a_refusal_and_a_list_are_a_span_each(scene: Scene) -> None:
    granted = scene.server.token_answer(scene.client)
    secret = scene.client.client_secret
    refused = scene.server.token_answer(scene.client, client_secret=secret[:-1] + ("0" if secret[-1] != "0" else "1"))
    listed = scene.server.list_bookings(granted.json()["access_token"], "contact-1")
    assert (granted.status_code, refused.status_code, listed.status_code) == (200, 401, 200)

    span = scene.span_of(granted.headers["x-request-id"])
    assert (span.name, span.kind, span.failed, span.parent_id) == ("token", SERVER_KIND, False, "")
    assert 0 < span.nanoseconds < 30e9
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/oauth:token",
        "http.response.status_code": 200,
        "omnilab.request_id": granted.headers["x-request-id"],
        "omnilab.tenant": "acme",
        "omnilab.client_id": scene.client.client_id,
    }
    assert span.resource.items() >= {"service.name": "omnilab", "deployment.environment.name": "development"}.items()

    span = scene.span_of(refused.headers["x-request-id"])
    assert (span.name, span.failed) == ("token", False)
    assert span.attributes["http.response.status_code"] == 401
    assert span.attributes["omnilab.code"] == re.search(r"/errors/(\w+)", refused.json()["error_uri"])[1]  # type: ignore[index]
    assert "omnilab.client_id" not in span.attributes  # whoever asked did not prove to be that client

    span = scene.span_of(listed.headers["x-request-id"])
    assert (span.name, span.attributes["http.route"]) == ("fetchContactBookings", LIST)
    assert wait_for_figure(scene.server, "omnilab_traces_exported_total", 3)
    assert figure(scene.server, "omnilab_traces_dropped_total") == 0
    assert span.attributes["omnilab.tenant"] == "acme"


def test_a_failure_of_ours_is_an_error_and_an_unknown_method_is_no_name(scene: Scene) -> None:
    failed = scene.server.http.get("/v1/oauth:whoami", headers={"OmniLab-Simulate": "503"})
    strange = scene.server.http.request("PROPFIND", "/wherever/contact-77")
    assert (failed.status_code, strange.status_code) == (503, 404)
    span = scene.span_of(failed.headers["x-request-id"])
    assert (span.name, span.failed, span.attributes["omnilab.code"]) == ("whoami", True, "temporarily_unavailable")
    span = scene.span_of(strange.headers["x-request-id"])
    assert (span.name, span.failed, span.attributes["http.request.method"]) == ("other", False, "_OTHER")
    assert "http.route" not in span.attributes


def test_a_sampled_caller_is_the_parent_and_an_unsampled_one_gets_no_span(scene: Scene) -> None:
    def ask(*values: str) -> str:
        headers = [("traceparent", value) for value in values] + [("tracestate", "vendor=contact-tracestate")]
        answer = scene.server.http.get("/v1/oauth:whoami", headers=headers)
        assert answer.status_code == 401
        return str(answer.headers["x-request-id"])

    unsampled = ask(f"00-{TRACE}-{CALLERS_SPAN}-00")
    sampled = ask(f"00-{TRACE}-{CALLERS_SPAN}-01")
    malformed = ask(f"00-{TRACE}-{CALLERS_SPAN}-01-more")
    twice = ask(f"00-{TRACE}-{CALLERS_SPAN}-01", f"00-{TRACE}-{CALLERS_SPAN}-01")
    assert scene.span_of(sampled).trace_id == TRACE
    assert scene.span_of(sampled).parent_id == CALLERS_SPAN
    for request_id in (malformed, twice):
        span = scene.span_of(request_id)
        assert (span.parent_id, span.trace_id == TRACE) == ("", False)
    # It came first, on the same connection: had it a span, that would have been sent with or before the others.
    assert not any(_is_of(unsampled, span) for span in scene.collector.spans())


def test_no_exported_byte_holds_a_secret_a_token_or_a_contact(scene: Scene) -> None:
    token = scene.server.token(scene.client)
    wrong = "contact-of-nobody-4711"
    answers = [
        scene.server.list_bookings(token, wrong),
        scene.server.list_bookings(token[:-2] + "xx", wrong),
        scene.server.http.get(f"{LIST}?external_id={wrong}&access_token={token}"),
        scene.server.http.get(f"/{scene.client.client_secret}/{wrong}", headers=bearer(token)),
        scene.server.http.post("/v1/oauth:token", json={"client_secret": scene.client.client_secret, "x": wrong}),
        scene.server.http.get("/v1/oauth:whoami", headers={"X-Request-Id": wrong, "User-Agent": wrong}),
        scene.server.http.get("/v1/oauth:whoami", headers={"tracestate": f"a={wrong}", "baggage": f"a={wrong}"}),
    ]
    for answer in answers:
        scene.span_of(answer.headers["x-request-id"])
    exported = b"".join(scene.collector.bodies) + "".join(scene.collector.headers).encode()
    assert b"fetchContactBookings" in exported
    never = [wrong, "contact-1", "contact-77", "contact-tracestate", random_part(scene.client.client_secret)]
    never += [token.rpartition(".")[2], token.split(".")[1], "127.0.0.1"]
    assert [text for text in never if text.encode() in exported.replace(b"Host: 127.0.0.1", b"")] == []
    assert scene.server.log.count("traces") == 0


def test_a_collector_that_refuses_and_one_that_is_away_cost_spans_and_nothing_else(
    tmp_path: Path, provisioned: tuple[Omnilab, Credentials]
) -> None:
    omnilab, client = apart(provisioned, tmp_path), provisioned[1]
    with collecting() as collector, ExitStack() as stack:
        collector.status = 403
        settings = {"traces_url": f"{collector.url}/v1/traces", "traces_ratio": "1", "log_format": "json"}
        server = stack.enter_context(omnilab.serve(**settings))
        token = server.token(client)
        for _ in range(300):
            assert server.list_bookings(token, "contact-1").status_code == 200
        wait_for_figure(server, "omnilab_traces_dropped_total", 257)  # more than one batch
        assert server.log.count("Failed to export spans batch code: 403") == 1
        collector.go_away()
        for _ in range(100):
            assert server.list_bookings(token, "contact-1").status_code == 200
        stack.close()
        assert collector.bodies == []


def test_a_collector_that_hangs_costs_bounded_memory_and_a_bounded_stop(
    tmp_path: Path, provisioned: tuple[Omnilab, Credentials]
) -> None:
    omnilab = apart(provisioned, tmp_path)
    with collecting() as collector:
        collector.hangs = True
        with omnilab.serve(traces_url=collector.url, traces_ratio="1") as server:
            for _ in range(WAITING_SPANS + 200):
                assert server.http.get("/healthz").status_code == 200
            wait_for_figure(server, "omnilab_traces_dropped_total", 200)
            asked = time.monotonic()
        assert time.monotonic() - asked < FAR_BELOW_THE_SDKS_30_SECONDS, server.log


def test_off_loads_nothing_and_a_missing_package_is_named(
    tmp_path: Path, provisioned: tuple[Omnilab, Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    omnilab = apart(provisioned, tmp_path)
    hidden = tmp_path / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", str(hidden.parent))
    with omnilab.serve() as server:
        assert server.http.get("/healthz").status_code == 200
    done = omnilab.run("serve", "--port", str(omnilab.port), traces_url="http://127.0.0.1:4318")
    assert done.returncode == 1
    assert "pip install 'omnilab[otel]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [f"00-{TRACE}-{CALLERS_SPAN}"],
        [f"00-{TRACE.upper()}-{CALLERS_SPAN}-01"],
        [f"00-{'0' * 32}-{CALLERS_SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"ff-{TRACE}-{CALLERS_SPAN}-01"],
        [f"00-{TRACE}-{CALLERS_SPAN}-01-"],
        [f"01-{TRACE}-{CALLERS_SPAN}-01more"],
        [f" 00-{TRACE}-{CALLERS_SPAN}-01"],
        [f"00-{TRACE}-{CALLERS_SPAN}-01", f"00-{TRACE}-{CALLERS_SPAN}-01"],
    ],
)
def test_what_is_no_traceparent_counts_as_none(values: list[str]) -> None:
    assert find_parent([value.encode() for value in values]) is None


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = find_parent([f"42-{TRACE}-{CALLERS_SPAN}-03-and-more".encode()])
    assert found == (int(TRACE, 16), int(CALLERS_SPAN, 16), True)
    assert find_parent([f"00-{TRACE}-{CALLERS_SPAN}-02".encode()]) == (int(TRACE, 16), int(CALLERS_SPAN, 16), False)


@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.5, 1.0])
def test_the_share_is_what_was_asked_for(ratio: float) -> None:
    places = [number * 2**48 // 10_000 for number in range(10_000)]
    traced = sum(in_share(str(uuid.UUID(int=(7 << 76) | (1 << 63) | place)), ratio) for place in places)
    assert abs(traced - ratio * 10_000) <= 1
