"""A process that was stopped (Ctrl-Z) in the middle of a write of its own keeps nobody waiting for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.harness import Omnilab, booking_row

# Stops itself where every command writes: with its turn.
STOPPED = """
import os, signal, sys
from pathlib import Path
from omnilab.storage.sqlite_files import WriteTurn
with WriteTurn(Path(sys.argv[1])):
    print("its turn", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@contextmanager
def stopped_in_its_turn(database: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", STOPPED, database], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"its turn\n"
            yield
        finally:
            process.send_signal(signal.SIGCONT)
            assert process.wait(20) == 0


def test_writes_are_given_up_and_reads_go_on_and_all_is_well_afterwards(tmp_path: Path) -> None:
    omnilab = Omnilab(tmp_path).init()
    omnilab.create_tenant("acme")
    client = omnilab.create_client("acme", allow=["bookings:read"])
    row = booking_row(1)
    omnilab.import_bookings("acme", [row])
    with omnilab.serve() as server:
        token = server.token(client)
        with stopped_in_its_turn(tmp_path / ".omnilab/omnilab.db"), ThreadPoolExecutor(1) as beside:
            waiting = beside.submit(omnilab.run, "tenants", "create", "later", "--name", "Later")
            refused = server.token_answer(client)
            assert refused.status_code == 503, refused.text
            assert refused.json()["error"] == "temporarily_unavailable"
            assert int(refused.headers["Retry-After"]) > 0
            assert server.list_bookings(token, str(row["external_id"])).status_code == 200
            command = waiting.result()
            assert command.returncode == 3, command
            assert "another process has held the turn to write" in command.stderr
        assert server.token(client)
        omnilab.create_tenant("later")  # nothing of it was done before
        assert "another process has held the turn to write" in server.log
    [record] = omnilab.cli("audit", "show", refused.headers["X-Request-Id"])["records"]
    assert (record["outcome"], record["code"]) == ("refused", "temporarily_unavailable")
    assert omnilab.cli("audit", "verify")["intact"]
