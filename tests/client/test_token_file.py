"""The token that processes share: one request for all of them, sealed, and never in anybody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from omnilab.client.settings import Options, Settings, read_settings
from omnilab.client.testing import FakeOmniLab
from omnilab.client.token import AccessToken
from omnilab.client.token_file import TokenFile
from tests.client.by_hand import ENVIRON, HandClock, Stage, granted

PROGRAM = """
import os, sys
from omnilab.client import OmniLab
sharing = OmniLab()
alone = OmniLab(environ={name: value for name, value in os.environ.items() if name != "OMNILAB_TOKEN_CACHE"})
print("ready", flush=True)
for line in sys.stdin:
    calls, _, how = line.strip().partition(" ")
    client = alone if how == "alone" else sharing
    try:
        for _ in range(int(calls)):
            client.whoami()
        print(client.access_token().reveal(), flush=True)
    except Exception as error:
        print(f"failed {error}", flush=True)
"""


class Process:
    """A program of an integrator's; it calls so many times when told to, and tells which token it used.

    `3 alone` is three calls without the file that processes share.
    """

    def __init__(self, environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.communicate()


def stage_of(path: Path, clock: HandClock | None = None, **options: object) -> Stage:
    stage = Stage(token_cache=path, **options)
    if clock is not None:
        stage.clock.seconds = clock.seconds
    return stage


def get(stage: Stage, since: int = 0) -> AccessToken:
    token: AccessToken = stage.play(stage.tokens.get(stage.clock.seconds + 30, since=since))
    return token


def settings_of(path: Path, **environ: str) -> tuple[TokenFile, Settings]:
    given: Options = {"environ": ENVIRON | environ, "clock": HandClock()}
    settings = read_settings(given)
    return TokenFile(path, settings), settings


def test_a_token_and_its_successor_are_asked_for_once_by_all_processes(tmp_path: Path) -> None:
    fake = FakeOmniLab()
    with fake.serve() as environ:
        processes = [Process(environ | {"OMNILAB_TOKEN_CACHE": str(tmp_path / "token")}) for _ in range(3)]
        try:
            assert {each.hear() for each in processes} == {"ready"}
            for calls in (3, 3):
                for each in processes:
                    each.tell(str(calls))
                assert {each.hear() for each in processes} == {next(iter(fake.tokens._live))}
            assert fake.token_requests == 1
            # A dead token costs one renewal, too, however many processes hold it.
            fake.revoke_tokens()
            for each in processes:
                each.tell("3")
            heard = {each.hear() for each in processes}
            assert len(heard) == 1
            assert fake.token_requests == 2
        finally:
            for each in processes:
                each.end()
    assert {call.code for call in fake.calls} <= {"", "token_revoked"}


def test_a_process_that_is_killed_while_it_holds_the_lock_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "token"
    program = f"""
import fcntl, os, sys, time
descriptor = os.open({str(path) + ".lock"!r}, os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        stage = stage_of(path)
        # Held and not moving on: after a while this one gets a token of its own. The clock is the test's.
        assert get(stage).reveal() == "token-1"
        assert 9 < sum(stage.pauses) < 11
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    fresh = stage_of(tmp_path / "token", client_id="cli_2")
    assert get(fresh).reveal() == "token-1"
    assert fresh.pauses == []


def test_the_file_is_sealed_and_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    stage = stage_of(path)
    stage.token_replies = [granted("eyJ.a-token.of-theirs")]
    get(stage)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "token.lock").stat().st_mode & 0o777 == 0o600
    for plain in (b"a-token", b"cli_1", b"thesecret", b"acme"):
        assert plain not in path.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["token", "token.lock"]


def test_a_second_process_takes_what_the_first_one_left(tmp_path: Path) -> None:
    first, second = stage_of(tmp_path / "token"), stage_of(tmp_path / "token")
    assert get(first).reveal() == get(second).reveal() == "token-1"
    assert (first.token_requests, second.token_requests) == (1, 0)
    assert get(second).expires_at == get(first).expires_at


@pytest.mark.parametrize(
    "other",
    [
        {"OMNILAB_CLIENT_SECRET": "another"},
        {"OMNILAB_CLIENT_ID": "cli_2"},
        {"OMNILAB_AUDIENCE": "urn:other"},
        {"OMNILAB_BASE_URL": "https://other.example"},
    ],
)
def test_who_is_another_cannot_read_it(tmp_path: Path, other: dict[str, str]) -> None:
    get(stage_of(tmp_path / "token"))
    own, settings = settings_of(tmp_path / "token")
    foreign, _ = settings_of(tmp_path / "token", **other)
    assert own.read() is not None
    assert foreign.read() is None
    assert settings.secret.read()


def test_what_was_changed_or_cut_off_counts_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "token"
    get(stage_of(path))
    whole = path.read_bytes()
    file, _ = settings_of(path)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert file.read() is None
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        assert file.read() is None
    path.write_bytes(whole)
    assert file.read() is not None
    stage = stage_of(path)
    path.write_bytes(b"something else")
    get(stage)
    assert stage.token_requests == 1
    assert file.read() is not None


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "token").symlink_to(victim)
    (tmp_path / "token.lock").symlink_to(victim)
    assert get(stage_of(tmp_path / "token")).reveal() == "token-1"
    assert victim.read_text() == "precious"


def test_a_file_system_that_refuses_costs_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stage = stage_of(tmp_path / "missing" / "token")
    assert get(stage).reveal() == "token-1"
    assert caplog.text.count("cannot be used") == 1


def test_the_entry_of_an_earlier_start_of_the_machine_is_not_believed(tmp_path: Path) -> None:
    get(stage_of(tmp_path / "token"))
    file, settings = settings_of(tmp_path / "token")
    assert file.read() is not None
    file._boot = "another start"
    assert file.read() is None
    file._boot = TokenFile(tmp_path / "token", settings)._boot
    settings.clock.seconds = 1.0  # type: ignore[attr-defined]
    assert file.read() is None  # from the future


def test_a_renewal_by_one_process_serves_the_others(tmp_path: Path) -> None:
    first, second = stage_of(tmp_path / "token"), stage_of(tmp_path / "token")
    get(first)
    get(second)
    for stage in (first, second):
        stage.clock.seconds += 2900
        assert get(stage).reveal() == "token-1"
        stage.land(stage.background.pop())
        assert get(stage).reveal() == "token-2"
    assert (first.token_requests, second.token_requests) == (2, 0)


def test_a_dead_token_in_the_file_is_not_taken_up_again(tmp_path: Path) -> None:
    first, second = stage_of(tmp_path / "token"), stage_of(tmp_path / "token")
    dead, also_dead = get(first), get(second)
    assert dead.reveal() == also_dead.reveal()
    first.tokens.give_up(dead)
    renewed = get(first, since=dead.epoch + 1)
    assert renewed.reveal() == "token-2"
    second.tokens.give_up(also_dead)
    assert get(second, since=also_dead.epoch + 1).reveal() == "token-2"
    assert second.token_requests == 0
    third = stage_of(tmp_path / "token")
    assert get(third).reveal() == "token-2"


def test_a_slow_renewal_of_another_process_does_not_replace_a_later_epoch(tmp_path: Path) -> None:
    first, second = stage_of(tmp_path / "token"), stage_of(tmp_path / "token")
    token = get(first)
    get(second)
    first.tokens.give_up(token)
    get(first, since=token.epoch + 1)
    file, _ = settings_of(tmp_path / "token")
    file.write(token)  # as a process would that got it before the revocation and comes late
    kept = file.read()
    assert kept is not None
    assert kept.reveal() == "token-2"


def test_an_expired_entry_is_replaced_and_its_epoch_goes_on(tmp_path: Path) -> None:
    first = stage_of(tmp_path / "token")
    token = get(first)
    first.tokens.give_up(token)
    get(first, since=token.epoch + 1)
    late = stage_of(tmp_path / "token")
    late.clock.seconds += 4000
    assert get(late).epoch == token.epoch + 1
