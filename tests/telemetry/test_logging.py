"""Whatever is logged, by whom and how: one JSON object a line, and no credential in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from omnilab.telemetry.access_log import AccessLog
from omnilab.telemetry.logging import configure_logging

SECRET = "omni_prd_" + "aB3dE5fG7h" * 4 + "abc000xyz"


class FixedClock:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return 1_796_119_200_123

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging of this process into memory, and back to what it was."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook, logging.raiseExceptions)
    disabled = {name: logging.getLogger(name).disabled for name in list(logging.root.manager.loggerDict)}
    text = io.StringIO()
    configure_logging(level="info", clock=FixedClock(), stream=text)
    yield text
    root.handlers[:], level, sys.excepthook, threading.excepthook, logging.raiseExceptions = before
    root.setLevel(level)
    for name, state in disabled.items():
        logging.getLogger(name).disabled = state
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object(stream: io.StringIO) -> None:
    structlog.get_logger("omnilab.test").info("something", request_id="r-1", count=3, nested={"a": [1, "b"]})
    assert lines(stream) == [
        {
            "event": "something",
            "request_id": "r-1",
            "count": 3,
            "nested": {"a": [1, "b"]},
            "level": "info",
            "logger": "omnilab.test",
            "timestamp": "2026-12-01T10:00:00.123Z",
        }
    ]


def test_levels_count(stream: io.StringIO) -> None:
    structlog.get_logger("omnilab.test").debug("quiet")
    logging.getLogger("httpx").info("quiet too")
    assert stream.getvalue() == ""


def test_credentials_are_masked_by_name_and_by_shape(stream: io.StringIO) -> None:
    log = structlog.get_logger("omnilab.test")
    event = f"text {SECRET}"
    log.info(
        event,
        client_secret="short",
        other=f"x{SECRET}",
        raw=SECRET.encode(),
        deep={"headers": [("authorization", f"Basic {SECRET}")], "password": {"x": "short"}},
        thing=SimpleNamespace(value=SECRET),
        error=ValueError(SECRET),
    )
    text = stream.getvalue()
    assert SECRET[12:20] not in text
    assert "short" not in text
    assert len(lines(stream)) == 1


def test_exceptions_are_masked(stream: io.StringIO) -> None:
    try:
        try:
            raise ValueError(f"inner {SECRET}")
        except ValueError as inner:
            raise RuntimeError(f"outer {SECRET}") from inner
    except RuntimeError:
        structlog.get_logger("omnilab.test").exception("failed")
        logging.getLogger("some.library").exception("failed with %s", SECRET)
    text = stream.getvalue()
    assert SECRET[12:20] not in text
    assert [line["event"] for line in lines(stream)] == ["failed", "failed with omni_prd_[masked]"]
    assert "RuntimeError: outer omni_prd_[masked]" in lines(stream)[0]["exception"]


def test_a_wrong_log_call_prints_nothing(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("some.library").warning("%d", SECRET)
    assert SECRET[12:20] not in stream.getvalue() + "".join(capsys.readouterr())


def test_crashes_of_threads_are_masked(stream: io.StringIO) -> None:
    def crash() -> None:
        raise RuntimeError(SECRET)

    thread = threading.Thread(target=crash, name="writer")
    thread.start()
    thread.join()
    (line,) = lines(stream)
    assert (line["event"], line["thread"]) == ("thread_crashed", "writer")
    assert SECRET[12:20] not in stream.getvalue()


def test_a_crash_of_the_process_is_masked() -> None:
    program = (
        "from omnilab.telemetry.logging import configure_logging; from omnilab.clock import SystemClock; "
        "configure_logging(level='info', clock=SystemClock()); "
        f"secret = '{SECRET}'; raise RuntimeError(secret)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stderr)["event"] == "process_crashed"
    assert SECRET[12:20] not in done.stderr


def test_text_for_people(stream: io.StringIO) -> None:
    text = io.StringIO()
    configure_logging(level="info", clock=FixedClock(), stream=text, as_text=True)
    try:
        raise RuntimeError(SECRET)
    except RuntimeError:
        structlog.get_logger("omnilab.test").exception("failed", request_id="r-1")
    assert "failed" in text.getvalue()
    assert "r-1" in text.getvalue()
    assert SECRET[12:20] not in text.getvalue()


def exchange(**changes: Any) -> Any:
    known = {
        "request_id": "r-1",
        "caller_request_id": None,
        "method": "GET",
        "path": "/v1/things:list",
        "status": 200,
        "code": "",
        "operation": object(),
        "caller": None,
        "subject": None,
    }
    return SimpleNamespace(**{**known, **changes})


def written(*exchanges: Any, as_text: bool = False) -> bytes:
    """What an access log writes for these, with room for them in the pipe."""

    async def run() -> bytes:
        reading, writing = os.pipe()
        try:
            log = AccessLog(FixedClock(), descriptor=writing, as_text=as_text)
            for each in exchanges:
                log.observe(each, 0.0012345)
            await asyncio.sleep(0.15)
            return os.read(reading, 1_000_000)
        finally:
            os.close(reading)
            os.close(writing)

    return asyncio.run(run())


def test_an_access_line() -> None:
    caller = SimpleNamespace(client_id="cli_1", tenant="acme")
    text = written(exchange(caller=caller), exchange(status=401, code="token_missing", caller_request_id="theirs"))
    first, second = [json.loads(line) for line in text.splitlines()]
    assert first == {
        "timestamp": "2026-12-01T10:00:00.123Z",
        "event": "request",
        "level": "info",
        "request_id": "r-1",
        "method": "GET",
        "path": "/v1/things:list",
        "status": 200,
        "duration_ms": 1.234,
        "client_id": "cli_1",
        "tenant": "acme",
    }
    assert (second["code"], second["caller_request_id"]) == ("token_missing", "theirs")


def test_the_path_of_no_call_is_masked() -> None:
    text = written(exchange(operation=None, path=f"/v1/{SECRET}", method=SECRET[:30], status=0))
    assert SECRET[12:20] not in text.decode()
    assert json.loads(text)["status"] == 499


@pytest.mark.parametrize("path", ['/v1/"quoted"\\', "/v1/line\nbreak", "/v1/\udce9", "/v1/caf\xe9"])
def test_no_path_breaks_a_line(path: str) -> None:
    for operation in (None, object()):
        (line,) = written(exchange(operation=operation, path=path)).splitlines()
        assert json.loads(line)["path"].startswith("/v1/")
    assert written(exchange(operation=None, path=path), as_text=True).count(b"\n") == 1


def test_callers_of_any_name_keep_the_line_whole() -> None:
    caller = SimpleNamespace(client_id='old "client"\n', tenant="acme")
    first, second = written(exchange(caller=caller), exchange(caller=caller)).splitlines()
    assert json.loads(first)["client_id"] == json.loads(second)["client_id"] == 'old "client"\n'


def test_an_access_line_for_people() -> None:
    line = written(exchange(), as_text=True).decode()
    assert line == "2026-12-01T10:00:00.123Z GET /v1/things:list 200 1.2 ms r-1\n"


def test_a_reader_that_stops_costs_lines_and_nothing_else() -> None:
    async def run() -> int:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        log = AccessLog(FixedClock(), descriptor=writing)
        for _ in range(25_000):
            log.observe(exchange(), 0.001)
        taken = 0
        os.set_blocking(reading, False)
        while log._lines or taken == 0:
            taken += os.read(reading, 65_536).count(b"\n")
            log.flush()
        taken += os.read(reading, 65_536).count(b"\n")
        assert taken + log.dropped == 25_000
        assert log.dropped > 0
        os.close(reading)
        log.observe(exchange(), 0.001)
        log.flush()
        dropped = log.dropped
        os.close(writing)
        return dropped

    assert asyncio.run(run()) > 0


@pytest.mark.parametrize(
    "happening",
    [
        "logging.getLogger('lib').warning('said %s', SECRET)",
        "raise ValueError(SECRET)",
        "thread = threading.Thread(target=lambda: int(SECRET)); thread.start(); thread.join()",
        "import warnings; warnings.warn(SECRET)",
    ],
)
def test_what_a_command_logs_late_is_redacted_as_well(happening: str) -> None:
    code = (
        "import logging, sys, threading\nfrom omnilab.clock import SystemClock\n"
        "from omnilab.telemetry.late_logging import configure_late\n"
        f"SECRET = {SECRET!r}\nconfigure_late(level='warning', clock=SystemClock(), as_text=False)\n"
        "logging.getLogger('lib').info('too quiet')\nassert 'structlog' not in sys.modules\n" + happening
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert SECRET[:20] not in line
    assert json.loads(line)["timestamp"]
    assert done.stdout == ""
