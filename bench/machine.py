"""Programs on their core: start, wait, ask what they cost, end. Servers have core 0, whatever loads them has core 1.

Must not know what is measured.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.figures import Run, wrk_run

SERVER_CORE, LOAD_CORE = "0", "1"
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_STARTED_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Program:
    """A server that listens on a loopback port."""

    process: subprocess.Popen[bytes]
    port: int

    def members(self) -> list[int]:
        """The process and all processes below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += [int(each) for each in children.read_text().split()]
        return found

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far."""
        ticks = 0
        for pid in self.members():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS_A_SECOND

    def worker_megabytes(self) -> tuple[float, float]:
        """Of its largest process, in MB (10^6 bytes): PSS, its fair share of what it has in common with its parent
        and other workers, and RSS, which counts all of that in full."""
        return max((_memory(pid) for pid in self.members()), key=lambda each: each[1])


class CoreTime(NamedTuple):
    """What the system counted for a core so far, in ticks; `stolen`: the core had work, and its host ran others."""

    stolen: int
    total: int

    def stolen_since(self, before: CoreTime) -> float:
        """The share (0 to 1) of the time since then that the host took."""
        return (self.stolen - before.stolen) / max(1, self.total - before.total)


def core_time() -> CoreTime:
    """The servers' core, now. Where the host does not tell (or there is none) nothing is ever stolen."""
    (line,) = re.findall(rf"^cpu{SERVER_CORE} (.+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    ticks = [int(each) for each in line.split()[:8]]  # the rest, guests' time, is in the first already
    return CoreTime(ticks[7], sum(ticks))


def _memory(pid: int) -> tuple[float, float]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    found = {line.split()[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines[1:]}
    return found["Pss:"], found["Rss:"]


@contextmanager
def running(
    words: Sequence[str | Path], port: int, *, env: Mapping[str, str], log: Path, cores: str = SERVER_CORE
) -> Iterator[Program]:
    """Run a server until the block ends. Raises RuntimeError when it does not listen."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["taskset", "-c", cores, *words], env=dict(env), stdout=output, stderr=output, cwd=log.parent
        )
    try:
        _wait_for(process, port, log)
        yield Program(process, port)
    finally:
        _end(process)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTED_WITHIN_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.005)
    raise RuntimeError(f"{process.args!r} does not listen on {port}; see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wrk(url: str, lines: Path, *, seconds: float, connections: int = 64, start: int = 0, cores: str = LOAD_CORE) -> Run:
    """Load `url` with the requests of a file, one a line, in turn from line `start` on (see requests.lua)."""
    env = os.environ | {"BENCH_REQUESTS": str(lines), "BENCH_START": str(start)}
    words = ["taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s"]
    words += ["--latency", "-s", str(Path(__file__).with_name("requests.lua")), url]
    done = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
    return wrk_run(done.stdout)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
