"""The help centre's token holders, each run as it stands by its own runtime against a running server."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Served
from tests.harness import Credentials, booking_row
from tests.snippets.forwarder import TOKEN, Forwarder, forwarding_to

SNIPPETS = Path(__file__).resolve().parents[2] / "src/omnilab/helpcenter/snippets"
DRIVERS = Path(__file__).with_name("drivers")
LIST, CANCEL = "fetchContactBookings", "cancelContactBooking"
# The folder of the snippet | its files and their place | what compiles them | what runs them
LANGUAGES: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "curl": ({"drive.sh": "", "token_holder.sh": ""}, [], ["bash", "drive.sh"]),
    "python": ({"drive.py": "", "token_holder.py": ""}, [], [sys.executable, "drive.py"]),
    "node": ({"drive.mjs": "", "token_holder.mjs": ""}, [], ["node", "drive.mjs"]),
    "php": ({"drive.php": "", "token_holder.php": ""}, [], ["php", "-d", "apc.enable_cli=1", "drive.php"]),
    "java": (
        {"Drive.java": "", "OmniLab.java": ""},
        ["javac", "-Xlint:all", "-Werror", "Drive.java"],
        ["java", "-XX:TieredStopAtLevel=1", "Drive"],
    ),
    "go": ({"main.go": "", "omnilab.go": "omnilab"}, ["go", "build", "-o", "drive", "."], ["./drive"]),
}


class Program:
    """A snippet with its driver, running: a line in, a line out."""

    def __init__(self, directory: Path, line: list[str], environ: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        with (directory / "stderr").open("a") as stderr:
            self._process = subprocess.Popen(
                line, cwd=directory, env=environ, stdin=pipe, stdout=pipe, stderr=stderr, text=True
            )
        self.said = ""

    def ask(self, *words: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        self.said += answer
        return answer.strip()

    def document(self, *words: object) -> Any:
        answer = self.ask(*words)
        assert not answer.startswith("error"), answer
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module", params=LANGUAGES)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A directory with one language's snippet and driver, compiled where that is the custom; and how to run it."""
    files, compiling, running = LANGUAGES[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    for name, place in files.items():
        (directory / place).mkdir(exist_ok=True)
        source = DRIVERS / name if (DRIVERS / name).exists() else SNIPPETS / request.param / name
        shutil.copy(source, directory / place / name)
    if request.param == "go":
        (directory / "go.mod").write_text("module example.test/drive\n\ngo 1.19\n")
    if compiling:
        environ = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOCACHE": str(directory / "cache")}
        done = subprocess.run(compiling, cwd=directory, env=environ, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return directory, running


@pytest.fixture(scope="module")
def forwarder(served: Served) -> Iterator[Forwarder]:
    with forwarding_to(served.server.url) as forwarder:
        yield forwarder


@pytest.fixture
def started(
    built: tuple[Path, list[str]], forwarder: Forwarder, tmp_path: Path
) -> Iterator[Callable[[Credentials], Program]]:
    """Starts the program for a client, as often as asked; nothing it wrote holds the secret or a token."""
    programs, secrets = [], []

    def start(client: Credentials) -> Program:
        secrets.append(client.client_secret)
        given = {
            "OMNILAB_CLIENT_ID": client.client_id,
            "OMNILAB_CLIENT_SECRET": client.client_secret,
            "OMNILAB_AUDIENCE": client.audience,
            "OMNILAB_BASE_URL": forwarder.url,
            "OMNILAB_TOKEN_FILE": str(tmp_path / client.client_id),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OMNILAB_")}
        programs.append(Program(built[0], built[1], kept | given))
        return programs[-1]

    forwarder.taken()
    forwarder.life_seconds, forwarder.away = None, 0
    yield start
    for program in programs:
        with closing(program):
            pass
        written = program.said + (built[0] / "stderr").read_text()
        assert not any(word in written for word in [*secrets, *forwarder.tokens])
    assert (built[0] / "stderr").read_text() == ""


def test_one_token_for_many_calls_at_once_then_list_and_cancel(
    served: Served, forwarder: Forwarder, started: Callable[[Credentials], Program], request: pytest.FixtureRequest
) -> None:
    contact, booking = f"contact-{request.node.name}", f"bkg_{abs(hash(request.node.name))}"
    contact = contact.replace("[", "-").replace("]", "")
    row = booking_row(external_id=contact, booking_id=booking, slot_id=f"slt-{contact}")
    served.omnilab.import_bookings("acme", [row])
    program = started(served.client)
    assert program.document("many", 20, contact) == 20
    assert sorted(forwarder.taken()) == [(LIST, 200)] * 20 + [(TOKEN, 200)]
    [found] = program.document("list", contact)["bookings"]
    assert (found["booking_id"], found["booking_status"]) == (booking, "CONFIRMED")
    assert program.document("cancel", contact, booking)["booking_status"] == "CANCELLED"
    assert forwarder.calls[-1][:2] == (CANCEL, 200)
    assert forwarder.calls[-1][2]  # the idempotency key
    assert program.document("list", contact)["bookings"][0]["booking_status"] == "CANCELLED"
    refusal = program.ask("cancel", contact, booking)
    assert refusal.startswith("error ")
    assert "booking_already_cancelled" in refusal
    assert forwarder.taken() == [(LIST, 200), (CANCEL, 200), (LIST, 200), (CANCEL, 409)]


def test_a_revoked_token_is_renewed_once_and_a_revoked_secret_ends_in_an_error(
    served: Served, forwarder: Forwarder, started: Callable[[Credentials], Program]
) -> None:
    client = served.omnilab.create_client("acme")
    program = started(client)
    program.document("list", "contact-1")
    own = {"client_id": client.client_id, "client_secret": client.client_secret, "token": forwarder.tokens[-1]}
    assert served.server.http.post("/v1/oauth:revoke", data=own).status_code == 200
    forwarder.taken()
    assert program.document("list", "contact-1")["total_count"] == 3
    assert forwarder.taken() == [(LIST, 401), (TOKEN, 200), (LIST, 200)]
    served.omnilab.cli("secrets", "revoke", client.client_id, client.secret_id)
    while served.server.list_bookings(forwarder.tokens[-1], "contact-1").status_code == 200:
        pass  # every node knows within a second
    assert "invalid_client" in program.ask("list", "contact-1")
    assert forwarder.taken() == [(LIST, 401), (TOKEN, 401)]


def test_retry_after_is_obeyed(served: Served, forwarder: Forwarder, started: Callable[[Credentials], Program]) -> None:
    program = started(served.omnilab.create_client("acme", "--api-quota", "1/second"))
    program.document("list", "contact-1")
    for _ in range(50):  # until two calls fall into one second, however slow the machine is
        assert program.document("list", "contact-1")["total_count"] == 3
        if any(status == 429 for _, status, _ in forwarder.calls):
            break
    answers = [status for _, status in forwarder.taken()]
    assert 429 in answers
    assert (429, 429) not in itertools.pairwise(answers)  # nobody asked again before the second was over
    patient = started(served.omnilab.create_client("acme", "--api-quota", "1/hour"))
    patient.document("list", "contact-1")
    forwarder.taken()
    assert "quota_exceeded" in patient.ask("list", "contact-1")  # an hour is longer than anybody waits
    assert forwarder.taken() == [(LIST, 429)]


def test_a_token_is_renewed_at_80_percent_of_its_life(
    served: Served, forwarder: Forwarder, started: Callable[[Credentials], Program]
) -> None:
    program = started(served.omnilab.create_client("acme"))
    forwarder.life_seconds = 5
    program.document("list", "contact-1")
    assert forwarder.taken() == [(TOKEN, 200), (LIST, 200)]
    time.sleep(4.2)
    program.document("list", "contact-1")
    assert forwarder.taken() == [(TOKEN, 200), (LIST, 200)]
    assert len(set(forwarder.tokens[-2:])) == 2


def test_a_service_that_is_away_for_a_moment_is_waited_for(
    served: Served, forwarder: Forwarder, started: Callable[[Credentials], Program]
) -> None:
    program = started(served.omnilab.create_client("acme"))
    forwarder.away = 1
    assert program.document("list", "contact-1")["total_count"] == 3
    assert forwarder.taken() == [(TOKEN, 503), (TOKEN, 200), (LIST, 200)]
    forwarder.away = 1
    assert program.document("list", "contact-1")["total_count"] == 3
    assert forwarder.taken() == [(LIST, 503), (LIST, 200)]
    forwarder.away = 10
    assert "temporarily_unavailable" in program.ask("list", "contact-1")
    assert forwarder.taken() == [(LIST, 503)] * 3  # three attempts, and no fourth
