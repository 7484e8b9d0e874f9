"""The README's session, executed as it is written: two terminals, a shell and curl."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import httpx

from tests.harness import Omnilab, Server
from tests.harness.installation import COMMAND

README = Path(__file__).resolve().parents[2] / "README.md"


def session_of_readme(part: str) -> str:
    found = re.search(rf"<!-- quickstart: {part} -->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert found, f"the README has no quickstart part {part!r}"
    return found[1]


def run_shell(omnilab: Omnilab, script: str) -> list[str]:
    environ = omnilab.environ() | {"PATH": f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=omnilab.directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def start_as_written(omnilab: Omnilab, command: str) -> Server:
    words = command.replace("8080", str(omnilab.port)).split()
    log_path = omnilab.directory / "readme.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [COMMAND, *words[1:]],
            cwd=omnilab.directory,
            env=omnilab.environ(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return Server(process, omnilab.url, log_path, httpx.Client(base_url=omnilab.url, trust_env=False))


def test_the_readme_leads_from_nothing_to_a_cancelled_booking(tmp_path: Path) -> None:
    omnilab = Omnilab(tmp_path)
    provision, serve = session_of_readme("provision").strip().rsplit("\n", 1)
    run_shell(omnilab, provision)
    server = start_as_written(omnilab, serve)
    try:
        server.wait_until_ready()
        call = session_of_readme("call")
        created, listed, cancelled = (json.loads(line) for line in run_shell(omnilab, call) if line.startswith("{"))
        again = run_shell(omnilab, call)
    finally:
        code = server.stop()
    assert code == 0, server.log

    assert created["booking_status"] == "CONFIRMED"
    assert [booking["booking_id"] for booking in listed["bookings"]] == ["bkg_1"]
    assert cancelled["booking_status"] == "CANCELLED"
    assert cancelled["cancelled_at"] is not None
    # The same session a second time: the booking exists and stays cancelled.
    codes = [json.loads(line).get("code") for line in again if line.startswith("{")]
    assert codes == ["booking_exists", None, "booking_already_cancelled"]
