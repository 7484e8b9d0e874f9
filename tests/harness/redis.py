"""A real Redis of the tests' own on a loopback port, without files: what a restart does to it, it forgets."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.harness.ports import free_port

READY_WITHIN_SECONDS = 20.0


class Redis:
    """One server. `kill`, `freeze`, `thaw` and `start` are what can happen to it."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, decode_responses=True)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Redis:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *words], cwd=self._directory, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while True:
            try:
                self.client.ping()
                return self
            except redis.exceptions.ConnectionError:
                assert self._process.poll() is None, (self._directory / "redis.log").read_text()
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)

    def freeze(self) -> None:
        """It takes connections and bytes, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self.client.close()


@contextmanager
def redis_server() -> Iterator[Redis]:
    """A running one, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="omnilab-redis-") as folder:
        server = Redis(Path(folder)).start()
        try:
            yield server
        finally:
            server.stop()
