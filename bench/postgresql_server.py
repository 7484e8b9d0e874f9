"""A PostgreSQL of the benchmark's own: durable, on the load's core, its data kept for the next run.

It refuses to run as root; then it runs as the user `postgres`, in a directory which that user can reach.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data import BUILD
from bench.machine import LOAD_CORE, Program, free_port

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "max_connections": "60",
}


@dataclass(frozen=True, slots=True)
class Database:
    """The running server."""

    program: Program

    def url(self, name: str) -> str:
        return f"postgresql://omnilab@127.0.0.1:{self.program.port}/{name}"

    def sql(self, name: str, text: str) -> list[list[str]]:
        """What psql prints for a statement, or for several."""
        words = ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", self.url(name), "-c", text]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def comment(self, name: str) -> str:
        """What is noted of a database; nothing where there is none."""
        query = f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'"
        found = self.sql("template1", query)
        return found[0][0] if found else ""


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError("PostgreSQL's server is not installed: tools/provision.sh bench")
    return found[-1].parent


@contextmanager
def postgresql(core: str = LOAD_CORE) -> Iterator[Database]:
    """Run it until the block ends."""
    owner: dict[str, Any] = {}
    folder = BUILD / "postgresql"
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        folder = Path(tempfile.gettempdir()) / "omnilab-bench-postgresql"
    programs, data = _programs(), folder / "data"
    if not (data / "PG_VERSION").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        words = [str(programs / "initdb"), "--pgdata", str(data), "--username", "omnilab", "--auth", "trust"]
        subprocess.run(words, check=True, capture_output=True, cwd="/", env={"LC_ALL": "C.UTF-8"}, **owner)
    port = free_port()
    settings = [word for name, value in (_SETTINGS | {"port": str(port)}).items() for word in ("-c", f"{name}={value}")]
    line = ["taskset", "-c", core, str(programs / "postgres"), "-D", str(data), *settings]
    with (BUILD / "postgresql.log").open("ab") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log, cwd="/", **owner)
    try:
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start; see {BUILD / 'postgresql.log'}")
            time.sleep(0.05)
        yield Database(Program(process, port))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
