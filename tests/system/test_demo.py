"""`omnilab demo` as a newcomer meets it: it prints a session, and the session, pasted into bash, does what it says."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness import Omnilab, Server
from tests.harness.installation import COMMAND

PRINTED_WITHIN_SECONDS = 100.0


def printed_document(server: Server) -> dict[str, Any]:
    deadline = time.monotonic() + PRINTED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        text = server.log
        if text.endswith("\n"):
            document: dict[str, Any] = json.loads(text.splitlines()[0])
            return document
        assert server.process.poll() is None, "the demo ended"
        time.sleep(0.1)
    raise AssertionError("the demo printed nothing")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Any]]]:
    omnilab = Omnilab(tmp_path_factory.mktemp("demo"))
    log_path = omnilab.directory / "demo.out"
    with log_path.open("wb") as log, (omnilab.directory / "demo.err").open("wb") as errors:
        process = subprocess.Popen(
            [COMMAND, "demo", "--port", str(omnilab.port), "--json"],
            cwd=omnilab.directory,
            env=omnilab.environ(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=errors,
        )
    server = Server(process, omnilab.url, log_path, httpx.Client(base_url=omnilab.url, trust_env=False))
    try:
        document = printed_document(server)
        server.wait_until_ready()
        yield server, document
    finally:
        code = server.stop()
    assert code == 0


def test_the_printed_session_runs_as_pasted(demo: tuple[Server, dict[str, Any]], tmp_path: Path) -> None:
    _, document = demo
    script = tmp_path / "session.sh"
    script.write_text(document["session"])
    done = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    said = done.stdout.splitlines()

    token = json.loads(said[0])
    assert set(token) == {"access_token", "token_type", "expires_in"}
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    answers = [answer for answer in (split_answer(line) for line in said[1:]) if answer]
    statuses = [status for status, _ in answers]
    # whoami, list, cancel, list again, cancel again, the replayed cancel, the other tenant's attempt
    assert statuses == [200, 200, 200, 200, 409, 200, 404]
    _, listed, cancelled, listed_again, refused, _, others = (body for _, body in answers)
    assert listed["total_count"] >= 2
    assert cancelled["booking_status"] == "CANCELLED"
    assert [booking["booking_status"] for booking in listed_again["bookings"]] == ["CANCELLED"]
    assert (refused["code"], others["code"]) == ("booking_already_cancelled", "booking_not_found")
    assert "replayed byte for byte" in said


def split_answer(line: str) -> tuple[int, dict[str, Any]] | None:
    """The status and body of a line such as `{…}  [200]`."""
    body, _, status = line.rpartition("  [")
    return (int(status.rstrip("]")), json.loads(body)) if body.startswith("{") else None


def test_a_taken_port_is_refused_in_words(demo: tuple[Server, dict[str, Any]], tmp_path: Path) -> None:
    server, _ = demo
    second = Omnilab(tmp_path)
    refused = second.cli("demo", "--port", server.url.rpartition(":")[2], expect=3)
    assert refused["error"]["code"] == "port_taken"
    assert not (tmp_path / ".omnilab").exists()
