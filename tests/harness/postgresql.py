"""A real PostgreSQL of the tests' own: a cluster in a directory, on a loopback port, ended with its owner.

PostgreSQL refuses to run as root; then it runs as the user `postgres`, whom its Debian package makes.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.harness.ports import free_port

READY_WITHIN_SECONDS = 30.0


def server_programs() -> Path:
    """Where the newest installed PostgreSQL keeps `initdb` and `postgres`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL's server is not installed: tools/provision.sh test"
    return found[-1].parent


class PostgreSQL:
    """One cluster. `url(name)` names a database of it; `kill`, `start` and `stop` are what can happen to it."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self._settings = settings
        self.directory = directory / "cluster"
        self.port = free_port()
        self._programs = server_programs()
        self._names = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            self.directory.mkdir(parents=True)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
            self.directory.parent.chmod(0o711)
        self._run("initdb", "--pgdata", str(self.directory), "--username", "omnilab", "--auth", "trust", "--no-sync")

    def _run(self, program: str, *words: str) -> None:
        environ = {"LC_ALL": "C.UTF-8"}
        line = [str(self._programs / program), *words]
        subprocess.run(line, check=True, capture_output=True, cwd="/", env=environ, **self._as)

    def url(self, name: str) -> str:
        return f"postgresql://omnilab@127.0.0.1:{self.port}/{name}"

    def start(self, **settings: str) -> PostgreSQL:
        """Start and wait until it answers. `settings`: PostgreSQL's own, beside those it was made with."""
        given = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        given |= self._settings | settings
        words = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        with (self.directory.parent / "postgresql.log").open("ab") as log:
            line = [str(self._programs / "postgres"), "-D", str(self.directory), *words]
            self._process = subprocess.Popen(line, stdout=log, stderr=log, cwd="/", **self._as)
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            asked = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(asked, check=False).returncode == 0:
                return self
            assert self._process.poll() is None, (self.directory.parent / "postgresql.log").read_text()
            time.sleep(0.02)
        raise AssertionError("PostgreSQL did not start")

    def replica(self, directory: Path) -> PostgreSQL:
        """A streaming replica in a directory of its own, not started yet."""
        copy = PostgreSQL.__new__(PostgreSQL)
        copy.directory, copy.port, copy._settings = directory / "cluster", free_port(), self._settings
        copy._programs, copy._names, copy._process, copy._as = self._programs, self._names, None, self._as
        if self._as:
            directory.chmod(0o711)
            copy.directory.mkdir(mode=0o700)
            os.chown(copy.directory, self._as["user"], self._as["group"])
        source = ["--host", "127.0.0.1", "--port", str(self.port), "--username", "omnilab", "--write-recovery-conf"]
        copy._run("pg_basebackup", "--pgdata", str(copy.directory), "--checkpoint", "fast", "--no-sync", *source)
        return copy

    def create_database(self, template: str = "template1") -> str:
        """A new database; its URL."""
        name = f"test_{next(self._names)}"
        self.sql("template1", f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def sql(self, database: str, text: str) -> list[list[str]]:
        """Run SQL as an operator's psql would; rows of texts."""
        words = ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)]
        done = subprocess.run([*words, "-c", text], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def kill(self) -> None:
        """`kill -9` of the server; its processes end with it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)
        # The sessions notice by themselves; only then does the shared memory come free.
        deadline = time.monotonic() + 10
        while _members(self.directory) and time.monotonic() < deadline:
            time.sleep(0.02)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it at once, sessions too (a fast shutdown)."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def _members(directory: Path) -> list[int]:
    """Processes that still work in this cluster."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.readlink() == directory:
                found.append(int(path.parts[2]))
        except OSError:
            continue
    return found
