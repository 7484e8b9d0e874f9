"""The SDK against the real platform while things go wrong: what could be saved is saved, no cancel is done twice."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from omnilab.client import AsyncOmniLab, Clock, NoAnswerError, OmniLab
from omnilab.client.settings import Options
from tests.client.test_many_at_once import in_threads
from tests.client.test_token_file import Process
from tests.client.wire import Wire, wire_to
from tests.harness import CommandLine, Credentials, Omnilab, Server, bearer, booking_row

TOKEN, LIST, CANCEL = "oauth:token", "fetchContactBookings", "cancelContactBooking"
CONTACT = "contact-1"
PAGE = Path(__file__).resolve().parents[2] / "docs/sdk.md"
TABLE = {
    words[0]: (int(words[1]), int(words[2]))
    for words in (
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in PAGE.read_text().partition("| Fault |")[2].partition("\n\n")[0].splitlines()[2:]
    )
}
PLACE: Options = {"total_seconds": 30, "timeout_seconds": 5}


def shows(fault: str, *, lost: int, tokens: int) -> None:
    """What was seen is what the page's table says: calls that were lost, and tokens that the fault cost."""
    assert (lost, tokens) == TABLE[fault]


def test_every_row_of_the_page_is_shown_here() -> None:
    source = Path(__file__).read_text()
    assert [fault for fault in TABLE if f'"{fault}"' not in source] == []


@dataclass
class Estate:
    """A served installation with a client, in a tenant of its own, for each test."""

    omnilab: Omnilab
    server: Server
    command_line: CommandLine
    clients: Iterator[Credentials]
    asked: Counter[str] = field(default_factory=Counter)

    def run(self, *words: str) -> dict[str, Any]:
        return self.command_line.run(*words)

    def client(self, bookings: int = 0, lifetime_seconds: int | None = None) -> Credentials:
        made = next(self.clients)
        if bookings:
            path = self.omnilab.directory / f"{made.tenant}.jsonl"
            path.write_text("".join(json.dumps(booking_row(number)) + "\n" for number in range(bookings)))
            self.run("bookings", "import", str(path), "--tenant", made.tenant)
        if lifetime_seconds is not None:
            words = ["audiences", "update", made.audience, "--tenant", made.tenant]
            self.run(*words, "--lifetime-seconds", str(lifetime_seconds))
            while self._ask(made)["expires_in"] != lifetime_seconds:
                time.sleep(0.05)  # a command has returned before the server has heard of it
        return made

    def limit(self, client: Credentials, quota: str) -> None:
        """Give a client a quota of calls, and wait until the server knows."""
        self.run("clients", "update", client.client_id, "--api-quota", quota)
        headers = bearer(self._ask(client)["access_token"])
        while self.server.http.get("/v1/oauth:whoami", headers=headers).json()["quotas"]["api"]["client"] is None:
            time.sleep(0.05)

    def wait_until_refused(self, token: str) -> None:
        """Wait until the server has heard that a token is revoked."""
        deadline = time.monotonic() + 60
        while self.server.http.get("/v1/oauth:whoami", headers=bearer(token)).status_code != 401:
            assert time.monotonic() < deadline, "the revoked token is still accepted"
            time.sleep(0.05)

    def _ask(self, client: Credentials) -> dict[str, Any]:
        self.asked[client.client_id] += 1
        answer: dict[str, Any] = self.server.token_answer(client).json()
        return answer

    def lines(self, client: Credentials) -> list[dict[str, Any]]:
        """The access lines of a client's requests so far."""
        marker = self.server.http.get("/healthz").headers["x-request-id"]
        while marker not in self.server.log:
            time.sleep(0.02)
        lines = [json.loads(line) for line in self.server.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("client_id") == client.client_id]

    def tokens(self, client: Credentials) -> int:
        """How many tokens the SDK asked for."""
        issued = sum(TOKEN in line["path"] and line["status"] == 200 for line in self.lines(client))
        return issued - self.asked[client.client_id]


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory, initialised: Path) -> Iterator[Estate]:
    template = Omnilab(initialised)
    omnilab = template.copied_to(tmp_path_factory.mktemp("faults"))
    clients = omnilab.seed(16, 16)
    with omnilab.command_line() as command_line, omnilab.serve() as server:
        yield Estate(omnilab, server, command_line, iter(clients))


def environ_of(client: Credentials, url: str | None = None) -> dict[str, str]:
    return {
        "OMNILAB_CLIENT_ID": client.client_id,
        "OMNILAB_CLIENT_SECRET": client.client_secret,
        "OMNILAB_AUDIENCE": client.audience,
        "OMNILAB_BASE_URL": url or client.base_url,
    }


def sdk(client: Credentials, url: str | None = None, **options: Any) -> OmniLab:
    return OmniLab(environ=environ_of(client, url), **{**PLACE, **options})


class Load:
    """Threads that list, and cancel one booking after the other, until they are stopped. `failed` is to stay empty."""

    def __init__(self, client: OmniLab, bookings: int, threads: int = 6) -> None:
        self._client = client
        self._numbers = itertools.count()
        self._bookings = bookings
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        self.listed = self.cancelled = 0
        self.failed: list[BaseException] = []
        self.tokens: dict[str, None] = {}

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                self.listed += len(list(self._client.bookings.list(CONTACT, page_size=5))) >= 0
                number = next(self._numbers)
                if number < self._bookings:
                    done = self._client.bookings.cancel(CONTACT, f"bkg_{number:08d}")
                    assert done.booking_status == "CANCELLED"
                    self.cancelled += 1
                self.tokens[self._client.access_token().reveal()] = None
                self._ended.wait(0.01)  # a load, not a measurement
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is a call that was lost
                self.failed.append(error)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, (self.listed, self.cancelled, self.failed)
            assert self.failed == []
            time.sleep(0.01)

    def more(self, calls: int = 12) -> None:
        """Wait for so many further lists."""
        before = self.listed
        self.until(lambda: self.listed >= before + calls)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)


def test_200_cold_threads_get_one_token(estate: Estate) -> None:
    client = estate.client()
    with sdk(client) as ours:
        assert in_threads(200, lambda _: len(list(ours.bookings.list(CONTACT)))) == [0] * 200
    shows("200 threads start cold", lost=0, tokens=estate.tokens(client))


def test_2000_cold_tasks_get_one_token(estate: Estate) -> None:
    client = estate.client()

    async def main() -> list[int]:
        async with AsyncOmniLab(environ=environ_of(client), total_seconds=110) as ours:

            async def one() -> int:
                return len([booking async for booking in ours.bookings.list(CONTACT)])

            return await asyncio.gather(*(one() for _ in range(2000)))

    assert asyncio.run(main()) == [0] * 2000
    shows("2,000 tasks start cold", lost=0, tokens=estate.tokens(client))


def test_8_cold_processes_get_one_token_together_or_one_each(estate: Estate, tmp_path: Path) -> None:
    client = estate.client()
    processes = [Process(environ_of(client) | {"OMNILAB_TOKEN_CACHE": str(tmp_path / "token")}) for _ in range(8)]
    try:
        assert {each.hear() for each in processes} == {"ready"}
        for each in processes:
            each.tell("3")
        assert len({each.hear() for each in processes}) == 1
        together = estate.tokens(client)
        shows("8 processes start cold, with `token_cache`", lost=0, tokens=together)
        for each in processes:
            each.tell("3 alone")
        assert len({each.hear() for each in processes}) == 8
        shows("8 processes start cold, without", lost=0, tokens=estate.tokens(client) - together)
    finally:
        for each in processes:
            each.end()


def test_expiry_under_load(estate: Estate) -> None:
    client = estate.client(lifetime_seconds=5)  # leaves a busy machine a second to renew in
    with sdk(client) as ours, Load(ours, 0) as load:
        load.until(lambda: len(load.tokens) >= 3)
    assert {line["status"] for line in estate.lines(client)} == {200}
    renewals, rest = divmod(estate.tokens(client) - 1, len(load.tokens) - 1)
    assert rest == 0
    shows("The token expires under load", lost=len(load.failed), tokens=renewals)


def test_a_revoked_secret_and_its_token_under_load(estate: Estate, tmp_path: Path) -> None:
    client = estate.client(bookings=40)
    file = tmp_path / "secret"
    file.write_text(client.client_secret)
    environ = environ_of(client)
    del environ["OMNILAB_CLIENT_SECRET"]
    with OmniLab(environ=environ, client_secret_file=file, **PLACE) as ours, Load(ours, 40) as load:
        load.more()
        added = estate.run("secrets", "add", client.client_id)
        file.write_text(added["client_secret"] + "\n")
        estate.run("secrets", "revoke", client.client_id, client.secret_id)
        load.until(lambda: len(load.tokens) == 2)
        load.until(lambda: load.cancelled == 40)
    shows("The secret is revoked, its file holds the next one", lost=len(load.failed), tokens=estate.tokens(client) - 1)
    assert {line.get("code", "") for line in estate.lines(client)} == {"", "token_revoked"}


def test_a_restarted_server_under_load(tmp_path: Path, initialised: Path) -> None:
    omnilab = Omnilab(initialised).copied_to(tmp_path)
    (client,) = omnilab.seed(1, 1)
    omnilab.import_bookings(client.tenant, [booking_row(number) for number in range(60)])
    with sdk(client) as ours:
        server = omnilab.start()
        server.wait_until_ready()
        try:
            with Load(ours, 60) as load:
                load.more()
                server.kill()
                server.stop()
                server = omnilab.start()
                load.until(lambda: load.cancelled == 60)
        finally:
            server.stop()
    # Signed by a key that the new process has, too.
    shows("The server is killed and started anew", lost=len(load.failed), tokens=len(load.tokens) - 1)


@pytest.mark.parametrize("seconds_off", [-90, 90])
def test_a_wrong_clock_does_not_matter(estate: Estate, seconds_off: int) -> None:
    client = estate.client(lifetime_seconds=3)
    program = f"""
import time
real = time.time
time.time = lambda: real() + {seconds_off}
from omnilab.client import OmniLab
client, tokens = OmniLab(), set()
while len(tokens) < 2:
    list(client.bookings.list("{CONTACT}"))
    tokens.add(client.access_token().reveal())
    time.sleep(0.02)
print(len(tokens))
"""
    environ = {**os.environ, **environ_of(client)}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("2\n", "")
    assert {line["status"] for line in estate.lines(client)} == {200}
    shows("The machine's clock is 90 s off", lost=0, tokens=estate.tokens(client) - 2)


def test_a_storm_of_429(estate: Estate) -> None:
    client = estate.client(bookings=20)
    estate.limit(client, "10/second")
    with sdk(client) as ours:
        done = in_threads(20, lambda number: ours.bookings.cancel(CONTACT, f"bkg_{number:08d}").booking_status)
        listed = in_threads(20, lambda _: len(list(ours.bookings.list(CONTACT, booking_status="CANCELLED"))))
        while 429 not in {line["status"] for line in estate.lines(client)}:  # a slow machine makes no storm at once
            listed = in_threads(20, lambda _: len(list(ours.bookings.list(CONTACT, booking_status="CANCELLED"))))
        assert [limit.name for limit in ours.limits] == ["client"]
    assert done == ["CANCELLED"] * 20
    assert listed == [20] * 20
    assert {line["status"] for line in estate.lines(client)} == {200, 429}
    shows("A storm of 429", lost=0, tokens=estate.tokens(client) - 1)


@pytest.fixture
def wire(estate: Estate) -> Iterator[Wire]:
    with wire_to(estate.omnilab.port) as made:
        yield made


def first(count: int, path: str, action: str) -> Callable[[str], Any]:
    """A decision: what becomes of the first `count` requests to `path`; the others pass."""
    left = itertools.count(count, -1)
    lock = threading.Lock()

    def decide(asked: str) -> str:
        with lock:
            return action if path in asked and next(left) > 0 else "pass"

    return decide


DEAD = {
    "swallow": "Connections are half-open",
    "cut": "Connections break before the server sees the call",
    "lose": "Connections break before the answer to a cancel",
}


@pytest.mark.parametrize("action", DEAD)
def test_connections_that_are_dead_or_die(estate: Estate, wire: Wire, action: str) -> None:
    client = estate.client(bookings=12)
    # What is swallowed is waited for; long enough, too, for a slow machine: its late answers would be asked for again.
    with sdk(client, wire.url, timeout_seconds=2 if action == "swallow" else 20) as ours:
        ours.whoami()
        wire.decide = first(6, CANCEL, action)
        done = in_threads(12, lambda number: ours.bookings.cancel(CONTACT, f"bkg_{number:08d}").booking_status)
        wire.decide = first(3, LIST, action)
        assert in_threads(3, lambda _: len(list(ours.bookings.list(CONTACT)))) == [12] * 3
    assert done == ["CANCELLED"] * 12
    assert wire.count(CANCEL, action) == 6  # type: ignore[arg-type]
    assert wire.count(CANCEL) == 18
    statuses = [line["status"] for line in estate.lines(client) if CANCEL in line["path"]]
    assert statuses == [200] * (18 if action == "lose" else 12)
    shows(DEAD[action], lost=0, tokens=estate.tokens(client) - 1)


def test_a_cancel_without_a_key_is_sent_once(estate: Estate, wire: Wire) -> None:
    client = estate.client(bookings=1)
    with sdk(client, wire.url, timeout_seconds=20) as ours:
        wire.decide = first(1, CANCEL, "lose")
        with pytest.raises(NoAnswerError) as caught:
            ours.bookings.cancel(CONTACT, "bkg_00000000", idempotency_key=False)
        assert caught.value.sent  # it may have been done: whoever called has to look
        (booking,) = ours.bookings.list(CONTACT)
    assert booking.booking_status == "CANCELLED"
    assert wire.count(CANCEL) == 1
    shows("The same without a key", lost=1, tokens=estate.tokens(client) - 1)


def test_the_token_service_is_away_while_a_token_is_valid(estate: Estate, wire: Wire) -> None:
    client = estate.client()
    clock = Ahead()
    # A call under way when the clock jumps has to outlive the jump: what it may take is counted on that clock too.
    with sdk(client, wire.url, clock=clock, total_seconds=3600) as ours, Load(ours, 0) as load:
        load.more()
        wire.decide = lambda path: "cut" if TOKEN in path else "pass"
        clock.seconds = 3600 * 0.9
        load.until(lambda: wire.count(TOKEN, "cut") >= 1)
        load.more()
        assert len(load.tokens) == 1
        wire.decide = lambda _: "pass"
        load.until(lambda: len(load.tokens) == 2)
    shows("The token service is away, the token still good", lost=len(load.failed), tokens=estate.tokens(client) - 1)


def test_a_slow_renewal_races_a_revocation(estate: Estate, wire: Wire, tmp_path: Path) -> None:
    client = estate.client()
    file = tmp_path / "secret"
    file.write_text(client.client_secret)
    environ = environ_of(client, wire.url)
    del environ["OMNILAB_CLIENT_SECRET"]
    clock = Ahead()
    with OmniLab(environ=environ, client_secret_file=file, clock=clock, timeout_seconds=60, total_seconds=60) as ours:
        assert list(ours.bookings.list(CONTACT)) == []
        old = ours.access_token().reveal()
        wire.decide = first(1, TOKEN, "hold")
        clock.seconds = 3600 * 0.9
        assert list(ours.bookings.list(CONTACT)) == []  # starts the renewal, whose answer is held
        assert wire.answered.wait(10)
        added = estate.run("secrets", "add", client.client_id)
        file.write_text(added["client_secret"])
        estate.run("secrets", "revoke", client.client_id, client.secret_id)
        estate.wait_until_refused(old)
        assert list(ours.bookings.list(CONTACT)) == []  # 401, one forced renewal with the new secret, once more
        good = ours.access_token().reveal()
        wire.released.set()
        for thread in threading.enumerate():
            if thread.name == "omnilab-renewal":
                thread.join(10)
        assert ours.access_token().reveal() == good
        assert list(ours.bookings.list(CONTACT)) == []
    shows("A slow renewal races a revocation", lost=0, tokens=estate.tokens(client) - 1)
    assert [line["status"] for line in estate.lines(client) if LIST in line["path"]] == [200, 200, 401, 200, 200]


class Ahead(Clock):
    """The client's clock, set ahead at will: the token looks old to it and is not."""

    seconds = 0.0

    def now(self) -> float:
        return super().now() + self.seconds
