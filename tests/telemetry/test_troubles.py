"""Of an outage the log says twice what happened, and the metrics how often."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable

from structlog.testing import capture_logs

from omnilab.telemetry.troubles import Trouble
from tests.conftest import Served
from tests.harness import Server

DISK_BYTES = 64 * 1024


def wait_until(true: Callable[[], bool], server: Server) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, server.log[-3000:]
        time.sleep(0.05)


def figure(server: Server, name: str) -> float:
    text = server.http.get("/metrics").text
    [value] = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


def told(server: Server, event: str) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def test_commits_that_fail_are_counted_and_their_cause_is_told_once(served: Served) -> None:
    server, client = served.server, served.client
    log_ahead = served.omnilab.directory / ".omnilab" / "omnilab.db-wal"
    while log_ahead.stat().st_size < DISK_BYTES:
        assert server.token_answer(client).status_code == 200
    [worker] = server.worker_pids()
    _, hard = resource.prlimit(worker, resource.RLIMIT_FSIZE, (DISK_BYTES, resource.RLIM_INFINITY))
    try:
        assert [server.token_answer(client).status_code for _ in range(3)] == [503] * 3
        wait_until(lambda: len(told(server, "commits_failing")) == 1, server)
        assert server.token_answer(client).status_code == 503
    finally:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (hard, hard))
    before = figure(server, "omnilab_commits_total")
    assert server.token_answer(client).status_code == 200
    wait_until(lambda: len(told(server, "commits_mended")) == 1, server)
    assert figure(server, "omnilab_commits_total") > before
    assert figure(server, "omnilab_commit_failures_total") >= 4
    [line] = told(server, "commits_failing")
    assert line["level"] == "error"
    assert "a commit failed" in line["reason"]
    assert "OperationalError" in line["reason"]


def test_a_trouble_is_told_when_it_begins_and_when_it_ends() -> None:
    reasons = iter(["", "it is away", "it is still away", "", "", "it is away again"])
    trouble = Trouble("thing", lambda: next(reasons))
    said: list[str] = []
    for _ in range(6):
        with capture_logs() as records:
            trouble.look()
        said.append(" ".join(f"{record['event']} {record.get('reason', '')}".strip() for record in records))
    assert said == ["", "thing_failing it is away", "", "thing_mended", "", "thing_failing it is away again"]
