"""One installation in a directory of its own, driven only through the `omnilab` command, as an operator drives it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.harness.command_line import CommandLine
from tests.harness.measuring import is_measured
from tests.harness.ports import free_port
from tests.harness.server import Credentials, Server
from tests.harness.standing import standing

COMMAND = Path(sys.executable).with_name("omnilab")
COMMAND_WITHIN_SECONDS = 90.0


# These become a server, or are about what a process is.
_OF_THEIR_OWN = ("serve", "demo")
_READS = ("list", "show", "explain", "verify", "export", "status", "check", "public-key", "expiring")


class Omnilab:
    """A database, a master key and a port. Its public URL is the loopback URL its server will listen on.

    `settings` are further `OMNILAB_*` variables, written without the prefix and in lower case.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {"environment": "development", "public_url": self.url} | settings
        self._numbers = itertools.count(1)

    def copied_to(self, directory: Path) -> Omnilab:
        """A copy of a resting installation, database and keys, on the same port: its credentials hold there too."""
        copy = Omnilab(directory)
        copy.port, copy.url, copy.settings = self.port, self.url, dict(self.settings)
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        return copy

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {f"OMNILAB_{name.upper()}": value for name, value in (self.settings | dict(extra or {})).items()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OMNILAB_")}
        if not is_measured(os.environ.get("PYTEST_CURRENT_TEST", "")):
            kept = {name: value for name, value in kept.items() if not name.startswith("COVERAGE_")}
        return kept | own | {"NO_COLOR": "1", "COLUMNS": "200"}

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one command as it stands and return its exit code and both outputs."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.directory,
            env=self.environ(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_WITHIN_SECONDS,
            check=False,
        )

    def cli(self, *arguments: str, expect: int = 0, **settings: str) -> dict[str, Any]:
        """Run one command with `--json`; return its document after checking the exit code.

        stdout has to be exactly one JSON object, refusals included.
        """
        done = self._answered([*arguments, "--json"], settings)
        shown = f"omnilab {' '.join(arguments)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expect, shown
        document = json.loads(done.stdout)
        assert isinstance(document, dict), shown
        return document

    def _answered(self, words: list[str], settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
        own = words[0] in _OF_THEIR_OWN or bool(settings)
        ready = None if own else standing(self.directory, self.environ())
        if ready is None:
            return self.run(*words, **settings)
        try:
            done = ready.run(words)
        finally:
            ready.busy.release()
        if words[1] not in _READS:
            # What a process takes to end, in which a server hears of the change: its promise is a second, not at once.
            time.sleep(0.15)
        return done

    def command_line(self) -> CommandLine:
        """One process for many commands, to be closed as a context manager."""
        return CommandLine(self.directory, self.environ())

    def init(self) -> Omnilab:
        self.cli("init")
        return self

    def create_tenant(self, tenant: str, *endpoints: str) -> None:
        """Create a tenant, entitled to `endpoints` beside what every new tenant has."""
        self.cli("tenants", "create", tenant, "--name", tenant.title())
        if endpoints:
            self.cli("entitlements", "allow", tenant, *endpoints)

    def create_client(
        self, tenant: str, *options: str, allow: Iterable[str] = ("bookings:read", "bookings:cancel", "bookings:create")
    ) -> Credentials:
        """Create a client of an existing tenant; `options` are further words of `clients create`."""
        grants = [word for endpoint in allow for word in ("--allow", endpoint)]
        made = self.cli("clients", "create", "--tenant", tenant, "--name", "Backend", *grants, *options)
        members = ("client_id", "client_secret", "secret_id", "audience", "base_url", "token_url", "issuer")
        return Credentials(tenant=tenant, allowed=tuple(made["allowed"]), **{name: made[name] for name in members})

    def seed(self, tenants: int, clients: int) -> list[Credentials]:
        """Make tenants and clients with every grant by one command; the clients in the order of their tenants."""
        path = self.directory / f"credentials-{next(self._numbers)}.jsonl"
        words = ["--tenants", str(tenants), "--clients", str(clients), "--bookings", "0"]
        self.cli("seed", *words, "--credentials-file", str(path))
        made = [json.loads(line) for line in path.read_text().splitlines()]
        # The default audience ends in the tenant's key where no domain is set.
        return [
            Credentials(tenant=each["audience"].rpartition(":")[2], allowed=tuple(each.pop("allowed")), **each)
            for each in made
        ]

    def import_bookings(self, tenant: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        path = self.directory / f"bookings-{next(self._numbers)}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self.cli("bookings", "import", str(path), "--tenant", tenant)

    def rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        """What stands in the database, read beside whoever writes it."""
        database = sqlite3.connect(f"file:{self.directory / '.omnilab/omnilab.db'}?mode=ro", uri=True)
        with closing(database):
            return database.execute(sql, arguments).fetchall()

    @contextmanager
    def serve(self, workers: int = 1, **settings: str) -> Iterator[Server]:
        """Run a server until the block ends; then SIGTERM, and its exit code has to be 0 (unless it was killed)."""
        server = self.start(workers, **settings)
        try:
            server.wait_until_ready()
            yield server
        finally:
            code = server.stop()
        assert code == 0, f"the server stopped with {code}:\n{server.log[-4000:]}"

    def start(self, workers: int = 1, **settings: str) -> Server:
        """Start a server and return at once; the caller waits for it and stops it."""
        log_path = self.directory / f"server-{next(self._numbers)}.log"
        words = ["serve", "--host", "127.0.0.1", "--port", str(self.port), "--workers", str(workers)]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [COMMAND, *words],
                cwd=self.directory,
                env=self.environ(settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        http = httpx.Client(base_url=self.url, timeout=20.0, trust_env=False)
        return Server(process=process, url=self.url, log_path=log_path, http=http)


def booking_row(number: int = 1, **members: Any) -> dict[str, Any]:
    """One row for `bookings import`: booking `number` of contact-1, in a slot of its own without limit."""
    return {
        "booking_id": f"bkg_{number:08d}",
        "external_id": "contact-1",
        "interaction_id": "int_1",
        "event_id": "evt_1",
        "event_title": "Product evening",
        "event_location": "Berlin",
        "slot_id": f"slt_{number}",
        "slot_start_date": f"2030-01-{1 + number % 28:02d}T10:00:00Z",
        "slot_end_date": f"2030-01-{1 + number % 28:02d}T11:00:00Z",
        "slot_capacity": None,
        "ticket_type": "standard",
    } | members
