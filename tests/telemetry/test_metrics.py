"""What is counted is told, over all workers, in Prometheus' format."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from omnilab import __version__
from omnilab.telemetry.figures import Figures
from omnilab.telemetry.metric_names import COMMITS, SNAPSHOT_CLIENTS
from omnilab.telemetry.metrics import Metrics, MetricsBoard, serve_metrics


def finished(operation_id: str | None = "list", status: int = 200, code: str = "") -> Any:
    operation = SimpleNamespace(operation_id=operation_id) if operation_id else None
    return SimpleNamespace(operation=operation, status=status, code=code)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (each.name, tuple(sorted(each.labels.values()))): each.value for family in families for each in family.samples
    }


def test_requests_are_counted_by_call_and_status() -> None:
    metrics = Metrics(["list", "token"])
    metrics.observe(finished(), 0.0015)
    metrics.observe(finished(), 2.5)
    metrics.observe(finished("token", 401, "secret_expired"), 0.001)
    metrics.observe(finished(None, 404, "not_found"), 100.0)
    metrics.observe(finished("unheard of", 418, "made up"), 0.001)
    found = samples(metrics)
    assert found["omnilab_requests_total", ("200", "list")] == 2
    assert found["omnilab_requests_total", ("401", "token")] == 1
    assert found["omnilab_requests_total", ("404", "other")] == 1
    assert found["omnilab_requests_total", ("other", "other")] == 1
    assert found["omnilab_refusals_total", ("secret_expired",)] == 1
    assert found["omnilab_refusals_total", ("other",)] == 1
    assert found["omnilab_request_duration_seconds_bucket", ("0.001", "list")] == 0
    assert found["omnilab_request_duration_seconds_bucket", ("0.002", "list")] == 1
    assert found["omnilab_request_duration_seconds_bucket", ("+Inf", "list")] == 2
    assert found["omnilab_request_duration_seconds_count", ("list",)] == 2
    assert found["omnilab_request_duration_seconds_sum", ("list",)] == pytest.approx(2.5015)
    assert found["omnilab_request_duration_seconds_bucket", ("0.001", "token")] == 1


def test_workers_are_added_up_across_processes_and_replacements() -> None:
    board = MetricsBoard(2)
    for row in (0, 1, 1):  # the second worker is replaced once
        pid = os.fork()
        if pid == 0:
            worker = Metrics(["list"], board=board, row=row)
            worker.observe(finished(), 0.001)
            worker.set(SNAPSHOT_CLIENTS, 10 + row)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    found = samples(Metrics(["list"], board=board))
    assert found["omnilab_requests_total", ("200", "list")] == 3
    assert found["omnilab_snapshot_clients", ()] == 11


def test_figures_are_read_where_they_are_kept_and_a_new_process_counts_on() -> None:
    board = MetricsBoard()
    kept = {"commits": 3.0, "clients": 5.0}

    def process() -> Figures:
        figures = Figures(Metrics([], board=board))
        figures.counter(COMMITS, lambda: kept["commits"])
        figures.gauge(SNAPSHOT_CLIENTS, lambda: kept["clients"])
        return figures

    first = process()
    first.tell()
    kept |= {"commits": 4.0, "clients": 2.0}
    first.tell()
    first.tell()
    kept["commits"] = 2.0
    process().tell()
    found = samples(Metrics([], board=board))
    assert found["omnilab_commits_total", ()] == 4 + 2
    assert found["omnilab_snapshot_clients", ()] == 2
    assert found["omnilab_build_info", (__version__,)] == 1


def test_too_many_calls_are_noticed_at_start() -> None:
    with pytest.raises(ValueError, match="room for 64"):
        Metrics([f"call{number}" for number in range(64)])


def test_the_internal_port() -> None:
    async def ask(port: int, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def run() -> None:
        metrics = Metrics(["list"])
        metrics.observe(finished(), 0.001)
        server = await serve_metrics(metrics, host="127.0.0.1", port=0)
        port = server.sockets[0].getsockname()[1]
        answer = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'omnilab_requests_total{operation="list",status="200"} 1.0' in answer
        assert (await ask(port, b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
        assert await ask(port, b"x" * 20_000) == b""
        server.close()
        await server.wait_closed()

    asyncio.run(run())
