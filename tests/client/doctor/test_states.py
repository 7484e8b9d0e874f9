"""The client as the platform knows it: of each state that stops it, that one is named and no other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from omnilab.client.codes import API_CODES, TOKEN_CODES
from omnilab.client.doctor import CHECKS
from omnilab.client.doctor.remedies import REMEDIES
from omnilab.clock import SystemClock
from omnilab.crypto.client_secret import checksum
from tests.client.doctor.clinic import DOMAIN, Ask, Clinic
from tests.harness import Credentials


def revoked(clinic: Clinic) -> Credentials:
    made = clinic.client()
    clinic.run.run("secrets", "add", made.client_id)
    clinic.run.run("secrets", "revoke", made.client_id, made.secret_id)
    return refused(clinic, "secret_revoked", made)


def expired(clinic: Clinic) -> Credentials:
    made = clinic.client()
    added = clinic.run.run("secrets", "add", made.client_id, "--expires-in", "1s")
    return refused(clinic, "secret_expired", with_secret(made, added))


def disabled(clinic: Clinic) -> Credentials:
    made = clinic.client()
    clinic.run.run("clients", "disable", made.client_id)
    return refused(clinic, "client_disabled", made)


def suspended(clinic: Clinic) -> Credentials:
    made = clinic.client(tenant="asleep")
    clinic.run.run("tenants", "suspend", "asleep")
    return refused(clinic, "tenant_suspended", made)


def with_secret(made: Credentials, added: dict[str, Any]) -> Credentials:
    return replaced(made, client_secret=added["client_secret"], secret_id=added["secret_id"])


def replaced(made: Credentials, **members: str) -> Credentials:
    return Credentials(**{name: getattr(made, name) for name in made.__slots__} | members)


def refused(clinic: Clinic, code: str, client: Credentials) -> Credentials:
    """The client, once the platform refuses it so."""
    deadline = time.monotonic() + 10
    while not clinic.server.token_answer(client).json().get("error_uri", "").endswith(code):
        assert time.monotonic() < deadline, code
        time.sleep(0.05)
    return client


def out_of_calls(clinic: Clinic) -> Credentials:
    made = clinic.client("--api-quota", "2/hour")
    token = clinic.server.token(made)
    while clinic.server.list_bookings(token, "contact-1").status_code != 429:
        pass
    return made


def out_of_tokens(clinic: Clinic) -> Credentials:
    made = clinic.client("--token-quota", "2/hour")
    while clinic.server.token_answer(made).status_code != 429:
        pass
    return made


def tried_too_often(clinic: Clinic) -> Credentials:
    made = replaced(clinic.client(), client_secret=clinic.good.client_secret)
    while clinic.server.token_answer(made).status_code != 429:
        pass
    return made


STATES: dict[str, tuple[Callable[[Clinic], Credentials], str, str]] = {
    "a secret that was revoked": (revoked, "token", "secret_revoked"),
    "a secret that has expired": (expired, "token", "secret_expired"),
    "a client that is disabled": (disabled, "token", "client_disabled"),
    "a tenant that is suspended": (suspended, "token", "tenant_suspended"),
    "another address than agreed, for tokens": (
        lambda clinic: clinic.client("--allow-token-address", "198.51.100.0/24"),
        "token",
        "address_not_allowed",
    ),
    "another address than agreed, for calls": (
        lambda clinic: clinic.client("--allow-api-address", "198.51.100.0/24"),
        "endpoints",
        "address_not_allowed",
    ),
    "wrong credentials, tried too often": (tried_too_often, "token", "too_many_failed_authentications"),
    "no endpoint granted": (lambda clinic: clinic.client(allow=()), "endpoints", "endpoint_not_enabled"),
    "calls used up": (out_of_calls, "quota", "quota_exceeded"),
    "tokens used up": (out_of_tokens, "quota", "token_quota_exceeded"),
}


@pytest.mark.parametrize("fault", STATES)
def test_the_state_of_the_client(clinic: Clinic, ask: Ask, fault: str) -> None:
    make, check, code = STATES[fault]
    told = ask(client=make(clinic))
    assert (told.code, told.cause, told.of("fail")) == (1, (check, code), [check])
    assert told.report["cause"]["fix"]


def test_a_clock_that_is_off_does_not_hide_what_stops_calls(
    clinic: Clinic, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SystemClock.now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda self: real(self) + 600_000)
    told = ask(OMNILAB_AUDIENCE="urn:omnilab:development:nobody")
    assert (told.code, told.cause, told.of("fail")) == (1, ("audience", "audience_unknown"), ["clock", "audience"])
    assert told.text.endswith("The fault is audience: audience_unknown. Mend too: clock.\n")


def test_another_environments_secret(ask: Ask) -> None:
    of_production = "omni_prd_" + "Q" * 43
    told = ask(OMNILAB_CLIENT_SECRET=of_production + checksum(of_production))
    assert (told.code, told.cause, told.of("fail")) == (1, ("environment", "secret_wrong_environment"), ["environment"])
    for word in ("production", "development"):
        assert word in told.report["cause"]["found"]


def test_a_wrong_client_id(clinic: Clinic, ask: Ask) -> None:
    right = clinic.good.client_id
    told = ask(OMNILAB_CLIENT_ID=right[:-1] + ("x" if right[-1] != "x" else "y"))
    assert (told.code, told.cause, told.of("fail")) == (1, ("token", "client_authentication_failed"), ["token"])
    assert "client_id" in told.report["cause"]["fix"]
    assert "secret_text" in told.of("pass")


def test_a_wrong_audience(clinic: Clinic, ask: Ask) -> None:
    told = ask(OMNILAB_AUDIENCE=clinic.good.audience + "/")
    assert (told.code, told.cause, told.of("fail")) == (1, ("audience", "audience_unknown"), ["audience"])
    # One of the client's own, for another API than bookings.
    clinic.run.run("audiences", "create", "https://reports.example", "--tenant", "acme", "--endpoint", "reports:read")
    both = clinic.client("--audience", clinic.good.audience, "--audience", "https://reports.example")
    told = ask(client=both, OMNILAB_AUDIENCE="https://reports.example")
    assert (told.code, told.cause, told.of("fail")) == (1, ("audience", "audience_mismatch"), ["audience"])


def test_another_tenants_host(clinic: Clinic, ask: Ask) -> None:
    told = ask("--allow-http", OMNILAB_BASE_URL=f"http://other.api.{DOMAIN}:{clinic.port}")
    assert (told.code, told.cause, told.of("fail")) == (1, ("platform", "tenant_host_mismatch"), ["platform"])
    assert f"acme.api.{DOMAIN}" in told.report["cause"]["found"]
    assert ask("--allow-http", OMNILAB_BASE_URL=f"http://acme.api.{DOMAIN}:{clinic.port}").code == 0


def test_an_endpoint_that_the_program_needs(clinic: Clinic, ask: Ask) -> None:
    reader = clinic.client(allow=("bookings:read",))
    told = ask("--need", "bookings:cancel", client=reader)
    assert (told.code, told.cause, told.of("fail")) == (1, ("endpoints", "endpoint_not_enabled"), ["endpoints"])
    assert ask("--need", "bookings:read", client=reader).cause is None
    told = ask(client=reader)  # nobody said that it is needed
    assert (told.code, told.cause) == (0, ("endpoints", "endpoint_not_enabled"))
    assert "bookings:cancel" in told.report["cause"]["found"]


def test_a_secret_that_expires_soon(clinic: Clinic, ask: Ask) -> None:
    made = clinic.client()
    added = clinic.run.run("secrets", "add", made.client_id, "--expires-in", "20d")
    told = ask(client=with_secret(made, added))
    assert (told.code, told.cause, told.of("fail")) == (0, ("secret_expiry", "secret_expires_soon"), [])


def test_every_remedy_is_for_a_code_that_exists() -> None:
    assert set(REMEDIES) - {"no_answer", "answer_unreadable"} <= API_CODES.keys() | TOKEN_CODES.keys()
    assert {each.check for each in REMEDIES.values()} <= set(CHECKS)


def packages_of(*names: str) -> set[str]:
    """The import names of packages and of all that they ask for."""
    wanted, seen = list(names), set[str]()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name not in seen:
            seen.add(name)
            asked = [Requirement(each) for each in requires(name) or ()]
            wanted += [each.name for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]
    found = packages_distributions().items()
    return {module for module, homes in found if seen & {home.lower().replace("_", "-") for home in homes}}


# Whatever else is installed cannot be imported.
ONLY = """
import sys
allowed = set(sys.argv.pop(1).split()) | {"omnilab"}
class Only:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in allowed | sys.stdlib_module_names and not root.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Only())
"""
SDK = """
import time
from omnilab.client import OmniLab
from omnilab.client.doctor import diagnose
with OmniLab() as client:
    print(client.whoami().tenant, diagnose({}, wall_clock=time.time).healthy)
"""
COMMANDS = """
from omnilab.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("installed", "program", "words"),
    [
        (("httpx", "msgspec"), SDK, []),
        (("httpx", "msgspec", "typer"), COMMANDS, ["doctor", "--json"]),
        (("httpx", "msgspec", "typer"), COMMANDS, ["token", "--json"]),
        (("httpx", "msgspec", "typer"), COMMANDS, ["api", "list-bookings", "contact-1", "--json"]),
    ],
    ids=["sdk", "doctor", "token", "api"],
)
def test_it_needs_its_own_packages_and_no_others(
    clinic: Clinic, installed: tuple[str, ...], program: str, words: list[str]
) -> None:
    """The bare package is enough for the SDK, `omnilab[cli]` for the commands."""
    who = clinic.good
    environ = {
        "OMNILAB_CLIENT_ID": who.client_id,
        "OMNILAB_CLIENT_SECRET": who.client_secret,
        "OMNILAB_AUDIENCE": who.audience,
        "OMNILAB_BASE_URL": clinic.omnilab.url,
    }
    allowed = packages_of(*installed)
    assert "cryptography" not in allowed
    done = subprocess.run(
        [sys.executable, "-c", ONLY + program, " ".join(allowed), *words],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert program != SDK or done.stdout == "acme True\n"


@pytest.mark.parametrize(
    ("installed", "words"),
    [(("httpx", "msgspec"), "omnilab[cli]"), (("httpx", "msgspec", "typer"), "omnilab[server]")],
)
def test_a_command_that_is_not_installed_says_what_to_install(
    tmp_path: Path, installed: tuple[str, ...], words: str
) -> None:
    program = ONLY + "from omnilab.cli.entry import main\nmain()"
    arguments = [sys.executable, "-c", program, " ".join(packages_of(*installed)), "tenants", "list"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
