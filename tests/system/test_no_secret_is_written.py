"""Each secret and token is sent in every wrong place, through refusals and crashes; then all that was written is read.

Searched are the server's output, every file of the installation (database, write-ahead log, reject files, a core dump
if there is one), every answer but a token's own, and all that the commands print. Not even eight characters of what is
random in a secret may be found.
"""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import pytest

from tests.harness import Credentials, Omnilab, Server, booking_row, free_port
from tests.system.hunting import Hunt, files_under, random_part
from tests.system.keys_at_rest import keys_of
from tests.system.misplaced import CANCEL, CREATE, FETCH, TOKEN, Sent, Wire, broken, everywhere, request

# An earlier system's: nothing in its text says that it is a secret.
LEGACY_SECRET = "Zk3vR8qLw2Xn7TbYp5Hs9Dfc"
FULL_DISK_BYTES = 48 * 1024
# What differs between two answers that are the same.
_MADE_ANEW = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{22}|\r\ndate: [^\r]+|bkg_[0-9A-Za-z]{22}")
# What a stranger's secret would be stored as, where any text of that form is a caller's own id.
IDENTIFIERS = ("X-Request-Id", "Idempotency-Key", "field", "list in")


@dataclass
class Scene:
    """An installation on which everything has been tried, and what came out of it."""

    omnilab: Omnilab
    client: Credentials
    hunt: Hunt
    server_log: bytes = b""
    answers: dict[bytes, str] = field(default_factory=dict)
    sent: int = 0
    statuses: set[int] = field(default_factory=set)

    @property
    def database(self) -> Path:
        return self.omnilab.directory / ".omnilab" / "omnilab.db"

    def take(self, place: str, answer: bytes) -> None:
        """Keep an answer; a token's own is where a token belongs."""
        status = int(answer[9:12] or 0)
        self.statuses.add(status)
        if status == 200 and b'"access_token":"eyJ' in answer:
            head, _, body = answer.partition(b"\r\n\r\n")
            self.hunt.add_token("token", json.loads(body)["access_token"])
            answer = head
        self.sent += 1
        self.answers.setdefault(_MADE_ANEW.sub(b"", answer), place)


@pytest.fixture(scope="module")
def scene(provisioned: tuple[Omnilab, Credentials], tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The whole run, once; the tests only look."""
    template, client = provisioned
    omnilab = template.copied_to(tmp_path_factory.mktemp("scene"))
    key_file = omnilab.directory / ".omnilab" / "master.key"
    omnilab.settings |= {
        "master_key": key_file.read_text().strip(), "log_level": "debug", "metrics_port": str(free_port()),
    }  # fmt: skip
    key_file.unlink()
    scene = Scene(omnilab, client, Hunt())
    scene.hunt.add("client secret", random_part(client.client_secret))
    scene.hunt.add("legacy secret", LEGACY_SECRET)
    for name, key in keys_of(scene.database, omnilab.settings["master_key"]):
        scene.hunt.add_bytes(name, key)
    legacy = _import_legacy(omnilab, client, tmp_path_factory.mktemp("elsewhere"))
    with _core_dumps_allowed():
        server = omnilab.start()
    try:
        server.wait_until_ready()
        _play(scene, server, legacy)
    finally:
        server.stop()
        scene.server_log = server.log_path.read_bytes()
    return scene


def _import_legacy(omnilab: Omnilab, client: Credentials, elsewhere: Path) -> Credentials:
    row = {
        "tenant": client.tenant, "client_id": "an-old-client", "client_secret": LEGACY_SECRET,
        "allowed": "bookings:read", "legacy_expires_at": "2099-01-01T00:00:00Z",
    }  # fmt: skip
    (elsewhere / "legacy.jsonl").write_text(json.dumps(row))
    assert omnilab.cli("clients", "import", str(elsewhere / "legacy.jsonl"))["imported"] == 1
    return replace(client, client_id="an-old-client", client_secret=LEGACY_SECRET)


@contextmanager
def _core_dumps_allowed() -> Iterator[None]:
    """As on a machine where somebody wants them: the server must not leave one even there."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def _bodies(client: Credentials) -> dict[str, dict[str, object]]:
    """A body for each write; the token request's passes, and so does the booking."""
    token = {
        "client_id": client.client_id, "client_secret": client.client_secret, "audience": client.audience,
        "grant_type": "client_credentials",
    }  # fmt: skip
    cancel = {"external_id": "contact-1", "booking_id": "bkg_00000001"}
    row = {name: value for name, value in booking_row(9).items() if name != "booking_id"}
    return {TOKEN: token, CANCEL: cancel, "/v1/interactions:cancelBooking": cancel, CREATE: row}


def _play(scene: Scene, server: Server, legacy: Credentials) -> None:
    wire, client = Wire(server.url), scene.client
    _fill_the_disk(scene, server, wire)
    tokens = [server.token(each) for each in (client, legacy)]
    for token in tokens:
        scene.hunt.add_token("token", token)
    _send_everywhere(scene, wire, tokens[0])
    _send_where_nothing_is_an_id(scene, wire, tokens[0], legacy)
    _crash(scene, server, wire, tokens[0])
    metrics = server.http.get(f"http://127.0.0.1:{scene.omnilab.settings['metrics_port']}/metrics")
    scene.answers[metrics.content] = "metrics"
    _terminate_midway(scene, server)


def _send_everywhere(scene: Scene, wire: Wire, token: str) -> None:
    """Secret and token as they are everywhere; other writings of them in every fifth place."""
    secret, bodies = scene.client.client_secret, _bodies(scene.client)
    for value in (secret, token):
        _send_all(scene, wire, everywhere(value, bodies, token))
        for sent in broken(value):
            scene.take(sent.place, wire.send_and_hang_up(sent.raw))
    mistyped = secret[:20] + ("A" if secret[20] != "A" else "B") + secret[21:]
    written_otherwise = (
        base64.b64encode(secret.encode()).decode(), base64.urlsafe_b64encode(token.encode()).decode(),
        secret.swapcase(), secret.replace("_", "%5F"), mistyped, secret[:-7], f'"{secret}"', f"Bearer {token}",
        "".join(f"%{byte:02X}" for byte in secret.encode()),
    )  # fmt: skip
    for number, value in enumerate(written_otherwise):
        _send_all(scene, wire, islice(everywhere(value, bodies, token), number % 5, None, 5))


def _send_where_nothing_is_an_id(scene: Scene, wire: Wire, token: str, legacy: Credentials) -> None:
    """What does not look like a credential, where its place tells that it is one, or that it is nothing known."""
    secret = scene.client.client_secret
    bodies = _bodies(scene.client) | {TOKEN: _bodies(legacy)[TOKEN]}
    for number, value in enumerate((LEGACY_SECRET, random_part(secret), token.rpartition(".")[2])):
        sent = (each for each in everywhere(value, bodies, token) if not _stores_it(each))
        _send_all(scene, wire, islice(sent, number % 2, None, 2))
    in_wrong_field = bodies[TOKEN] | {"audience": LEGACY_SECRET, "scope": LEGACY_SECRET, "grant_type": LEGACY_SECRET}
    for name in ("audience", "scope", "grant_type", "client_id", "resource"):
        body = json.dumps(bodies[TOKEN] | {name: in_wrong_field.get(name, LEGACY_SECRET)}).encode()
        scene.take(f"legacy as {name}", wire.send(request("POST", TOKEN, {"Content-Type": "application/json"}, body)))


def _stores_it(sent: Sent) -> bool:
    path, _, place = sent.place.partition(" ")
    return place.startswith(IDENTIFIERS) and not (path == TOKEN and place != "X-Request-Id")


def _send_all(scene: Scene, wire: Wire, requests: Iterator[Sent]) -> None:
    for sent in requests:
        scene.take(sent.place, wire.send(sent.raw))


def _fill_the_disk(scene: Scene, server: Server, wire: Wire) -> None:
    """No file of the worker may grow beyond this: SQLite meets what it meets on a full disk."""
    (pid,) = server.worker_pids()
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_DISK_BYTES, hard))
    body = json.dumps(_bodies(scene.client)[TOKEN]).encode()
    answers = [wire.send(request("POST", TOKEN, {"Content-Type": "application/json"}, body)) for _ in range(25)]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert b" 503 " in answers[-1][:20], answers[-1]
    assert b"temporarily_unavailable" in answers[-1]
    for answer in answers:
        scene.take("full disk", answer)


def _crash(scene: Scene, server: Server, wire: Wire, token: str) -> None:
    """Rows that no code expects, a table that is gone, a worker that dies of a fault."""
    secret, bearer = scene.client.client_secret, {"Authorization": f"Bearer {token}"}
    with closing(sqlite3.connect(scene.database, timeout=10)) as connection:
        connection.execute("UPDATE bookings SET slot_end_at = 'never' WHERE external_id = 'contact-1'")
        connection.commit()
        for target in (FETCH + "?external_id=contact-1", FETCH + "?external_id=contact-1&page_size=2"):
            answer = wire.send(request("GET", target, bearer | {"X-Api-Key": secret}))
            assert b" 503 " in answer[:20], answer
            scene.take("crash", answer)
        connection.execute("ALTER TABLE bookings RENAME TO elsewhere")
        connection.commit()
        scene.take("no table", wire.send(request("GET", FETCH + "?external_id=contact-1", bearer)))
        connection.execute("ALTER TABLE elsewhere RENAME TO bookings")
        connection.commit()
    os.kill(server.worker_pids()[0], signal.SIGSEGV)
    _wait_for(lambda: b" 200 " in wire.send(request("GET", "/readyz", {}))[:20])


def _wait_for(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _terminate_midway(scene: Scene, server: Server) -> None:
    """SIGTERM while a secret is on its way: half of it is here."""
    body = json.dumps(_bodies(scene.client)[TOKEN]).encode()
    raw = request("POST", TOKEN, {"Content-Type": "application/json"}, body)
    with socket.create_connection(("127.0.0.1", scene.omnilab.port), timeout=5) as connection:
        connection.sendall(raw[:-40])
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        connection.sendall(raw[-40:])
        scene.take("on SIGTERM", connection.recv(65536))
        server.process.wait(20)


def test_everything_was_met(scene: Scene) -> None:
    assert {200, 201, 400, 401, 404, 405, 413, 415, 422, 503} - {422} <= scene.statuses
    assert b"request_crashed" in scene.server_log
    assert b"SIGSEGV" in scene.server_log
    assert scene.sent > 2500


def test_the_hunt_finds_what_it_looks_for(scene: Scene) -> None:
    """Otherwise an empty result would say nothing."""
    secret = random_part(scene.client.client_secret)
    planted = {
        "plain": b"x" + secret[3:11].encode() + b"x",
        "swapped": secret[5:13].swapcase().encode(),
        "percent": "".join(f"%{byte:02x}" for byte in secret[9:17].encode()).encode(),
        "base64": base64.b64encode(b"omni_dev_" + secret.encode()),
        "hexadecimal": secret.encode().hex().upper().encode(),
    }
    assert {found.place for found in scene.hunt.search(planted)} == planted.keys()
    assert scene.hunt.search({"too short": secret[3:10].encode()}) == []


def test_nothing_in_the_servers_output(scene: Scene) -> None:
    scene.hunt.finds_nothing_in({"server log": scene.server_log})


def test_nothing_in_any_file_of_the_installation(scene: Scene) -> None:
    files = files_under(scene.omnilab.directory)
    assert ".omnilab/omnilab.db" in files
    assert not [name for name in files if name.startswith("core")]
    scene.hunt.finds_nothing_in(files)


def test_nothing_in_any_answer(scene: Scene) -> None:
    answers = enumerate(scene.answers.items())
    scene.hunt.finds_nothing_in({f"{number} {place}": answer for number, (answer, place) in answers})


def test_nothing_in_what_the_audit_tells(scene: Scene) -> None:
    commands = (["list", "--limit", "100000", "--json"], ["list", "--limit", "100000"], ["explain", "--tenant", "acme"])
    said = {" ".join(words): scene.omnilab.run("audit", *words).stdout for words in commands}
    assert all(len(text) > 1000 for text in said.values())
    scene.hunt.finds_nothing_in({name: text.encode() for name, text in said.items()})


def test_nothing_in_the_write_ahead_log_of_a_killed_server(scene: Scene, tmp_path: Path) -> None:
    omnilab = scene.omnilab.copied_to(tmp_path)
    server = omnilab.start(log_format="text")
    try:
        server.wait_until_ready()
        token = server.token(scene.client)
        scene.hunt.add_token("token", token)
        server.token_answer(scene.client, client_secret=scene.client.client_secret[:-1])
        server.token_answer(scene.client, audience=scene.client.client_secret)
        server.cancel_booking(token, "contact-1", "bkg_00000002", **{"Idempotency-Key": token})
        for lead in range(170, 200, 3):
            server.http.get("/" + "x" * lead + random_part(scene.client.client_secret))
        assert (tmp_path / ".omnilab" / "omnilab.db-wal").stat().st_size > 0
        server.kill()
    finally:
        server.stop()
    scene.hunt.finds_nothing_in(files_under(tmp_path))
