"""`omnilab demo`: the printed session is run in bash as it stands, twice, on two ports."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.harness import Omnilab, free_port
from tests.harness.installation import COMMAND


@contextmanager
def demo(omnilab: Omnilab, port: int) -> Iterator[str]:
    """The demo served on a port; gives the session it printed."""
    output, log = omnilab.directory / "session.sh", omnilab.directory / f"demo-{port}.log"
    with output.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            [COMMAND, "demo", "--port", str(port)],
            cwd=omnilab.directory, env=omnilab.environ(), stdout=out, stderr=err, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        while "Serving" not in log.read_text():
            assert process.poll() is None, log.read_text()
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        yield output.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def paste(session: str, directory: Path) -> list[str]:
    done = subprocess.run(["bash"], input=session, capture_output=True, text=True, cwd=directory, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def check(lines: list[str]) -> None:
    """What the session has to show, step by step."""
    token, whoami, listed, cancelled, shown, again, replayed, same, foreign = lines
    assert set(json.loads(token)) == {"access_token", "token_type", "expires_in"}
    assert json.loads(token)["expires_in"] == 3600
    assert [line[-5:] for line in (whoami, listed, cancelled, shown, again, replayed, foreign)] == [
        "[200]", "[200]", "[200]", "[200]", "[409]", "[200]", "[404]",
    ]  # fmt: skip
    assert '"booking_status":"CANCELLED"' in cancelled
    assert '"booking_status":"CANCELLED"' in shown
    assert "booking_already_cancelled" in again
    assert '"booking_status":"CANCELLED"' in replayed
    assert same == "replayed byte for byte"
    assert "booking_not_found" in foreign


def secret_of(session: str) -> str:
    found = re.search(r"^CLIENT_SECRET=(\S+)$", session, re.MULTILINE)
    assert found
    return found.group(1)


def test_the_printed_session_works_and_the_demo_can_be_repeated_on_another_port(tmp_path: Path) -> None:
    omnilab = Omnilab(tmp_path)
    del omnilab.settings["public_url"]
    with demo(omnilab, first_port := free_port()) as first:
        check(paste(first, tmp_path))
    assert "4,939 bookings imported" in (tmp_path / f"demo-{first_port}.log").read_text()
    with demo(omnilab, second_port := free_port()) as second:
        check(paste(second, tmp_path))
        # The secret of the first run was shown once, and ended with the second.
        assert secret_of(first) != secret_of(second)
        old = paste(second.replace(secret_of(second), secret_of(first)).split("\n# 2.")[0], tmp_path)
        assert json.loads(old[0])["error"] == "invalid_client"
        metadata = httpx.get(f"http://127.0.0.1:{second_port}/.well-known/oauth-authorization-server", trust_env=False)
        assert metadata.json()["issuer"] == f"http://127.0.0.1:{second_port}"
    assert "0 bookings imported, 4,939 were there already" in (tmp_path / f"demo-{second_port}.log").read_text()


def test_a_taken_port_is_told_before_anything_is_made(tmp_path: Path) -> None:
    omnilab = Omnilab(tmp_path)
    with socket.create_server(("127.0.0.1", omnilab.port)):
        assert omnilab.cli("demo", "--port", str(omnilab.port), expect=3)["error"]["code"] == "port_taken"
    assert list(tmp_path.iterdir()) == []
