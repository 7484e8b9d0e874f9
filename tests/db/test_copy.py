"""`omnilab db copy` moves an installation to another engine: identical, and what was issued before still holds."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import omnilab.installation  # noqa: F401 - brings every table of the schema
from omnilab.storage.tables import metadata
from tests.db.killing import killed
from tests.harness import Credentials, Omnilab, Server, booking_row, databases
from tests.harness.installation import COMMAND
from tests.harness.server import bearer


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo installation at rest, the credentials it printed, and what one token and one list were before."""

    omnilab: Omnilab
    values: dict[str, str]
    token: str
    contact: str
    listed: dict[str, object]


def variables(session: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)='?([^'\n]+)'?$", session, re.MULTILINE))


def token_of(url: str, values: dict[str, str]) -> str:
    body = {"client_id": values["CLIENT_ID"], "client_secret": values["CLIENT_SECRET"]}
    body |= {"audience": values["AUDIENCE"], "grant_type": "client_credentials"}
    answer = httpx.post(f"{url}/v1/oauth:token", json=body, trust_env=False)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def listed(url: str, token: str, contact: str) -> dict[str, object]:
    where = f"{url}/v1/interactions:fetchContactBookings"
    answer = httpx.get(where, params={"external_id": contact}, headers=bearer(token), trust_env=False)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """As a newcomer makes it: `omnilab demo`, used, and stopped."""
    omnilab = Omnilab(tmp_path_factory.mktemp("demo"))
    output = omnilab.directory / "session.sh"
    with output.open("wb") as out, (omnilab.directory / "demo.log").open("wb") as log:
        words = [COMMAND, "demo", "--port", str(omnilab.port)]
        process = subprocess.Popen(words, cwd=omnilab.directory, env=omnilab.environ(), stdout=out, stderr=log)
    try:
        while "Serving" not in (omnilab.directory / "demo.log").read_text():
            assert process.poll() is None, (omnilab.directory / "demo.log").read_text()
            time.sleep(0.05)
        session = output.read_text()
        values, [contact, *_] = variables(session), re.findall(r"external_id=([\w-]+)", session)
        token = token_of(omnilab.url, values)
        made = Demo(omnilab, values, token, contact, listed(omnilab.url, token, contact))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    return made


@pytest.fixture
def empty_database() -> str:
    """A PostgreSQL database that nobody has used."""
    return databases.cluster().create_database()


def moved(source: Omnilab, url: str) -> Omnilab:
    """The same installation, told where its database is now."""
    settings = {"database_url": url, "master_key_file": str(source.directory / ".omnilab/master.key")}
    copy = Omnilab(source.directory, **(source.settings | settings))
    copy.port, copy.url = source.port, source.url
    return copy


def sqlite_url(omnilab: Omnilab) -> str:
    return f"sqlite:///{omnilab.directory}/.omnilab/omnilab.db"


def test_the_demo_moves_to_postgresql_and_back_and_its_tokens_still_verify(
    demo: Demo, empty_database: str, tmp_path: Path
) -> None:
    source = demo.omnilab
    done = source.cli("db", "copy", "--from", sqlite_url(source), "--to", empty_database)
    assert done["identical"] is True
    assert {each["table"] for each in done["tables"]} == set(metadata.tables)
    rows = {each["table"]: each["rows"] for each in done["tables"]}
    for table, count in rows.items():
        assert source.rows(f"SELECT count(*) FROM {table}") == [(count,)]
    assert rows["bookings"] == 14_938
    on_postgresql = moved(source, empty_database)
    with on_postgresql.serve() as server:
        serves_as_before(server, demo)
    assert on_postgresql.cli("audit", "verify")["intact"]
    assert on_postgresql.cli("db", "check")["intact"]
    # And back, with what was done meanwhile.
    back = f"sqlite:///{tmp_path}/back.db"
    again = on_postgresql.cli("db", "copy", "--from", empty_database, "--to", back)
    assert {each["table"]: each["rows"] for each in again["tables"]}["bookings"] == 14_938
    on_sqlite = moved(source, back)
    with on_sqlite.serve() as server:
        serves_as_before(server, demo)
        assert on_sqlite.cli("tenants", "create", "newcomer", "--name", "N")["tenant"] == "newcomer"


def serves_as_before(server: Server, demo: Demo) -> None:
    assert listed(server.url, demo.token, demo.contact) == demo.listed
    assert listed(server.url, token_of(server.url, demo.values), demo.contact) == demo.listed


def test_a_target_that_holds_something_is_not_touched(demo: Demo, tmp_path: Path) -> None:
    other = Omnilab(tmp_path).init()
    before = other.rows("SELECT name, value FROM installation")
    words = ["db", "copy", "--from", sqlite_url(demo.omnilab), "--to", sqlite_url(other)]
    assert demo.omnilab.cli(*words, expect=1)["error"]["code"] == "database_not_empty"
    assert other.rows("SELECT name, value FROM installation") == before
    with other.serve() as server:
        assert server.http.get("/readyz").status_code == 200


def test_a_source_that_is_written_to_meanwhile_leaves_nothing(
    provisioned: tuple[Omnilab, Credentials], tmp_path: Path
) -> None:
    """Reads of the API are recorded within a second: whoever copies a served installation is told."""
    omnilab = provisioned[0].copied_to(tmp_path)
    target = f"sqlite:///{tmp_path}/copy.db"
    omnilab.import_bookings("acme", [booking_row(number) for number in range(10, 4000)])
    with omnilab.serve() as server:
        codes = set()
        for _ in range(20):
            busy = subprocess.Popen(
                [COMMAND, "db", "copy", "--from", sqlite_url(omnilab), "--to", target, "--json"],
                cwd=omnilab.directory, env=omnilab.environ(), stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            while busy.poll() is None:
                server.token_answer(provisioned[1])
            assert busy.stdout is not None
            told = busy.stdout.read()
            busy.stdout.close()
            codes.add(busy.returncode)
            if busy.returncode == 1:
                assert "source_moved" in told
                break
            (tmp_path / "copy.db").unlink()
    assert 1 in codes
    done = omnilab.cli("db", "copy", "--from", sqlite_url(omnilab), "--to", target)
    assert done["identical"]


def test_a_killed_copy_leaves_an_empty_target(demo: Demo, empty_database: str) -> None:
    source = demo.omnilab
    words = ["db", "copy", "--from", sqlite_url(source), "--to", empty_database]
    for method, before in (("insert", 1), ("insert", 9), ("commit", 1)):
        killed(source, words, ("omnilab.storage.sides", "PostgreSQLSide", method), before=before)
        refused = moved(source, empty_database).cli("clients", "list", expect=1)
        assert refused["error"]["code"] == "not_initialised"
        assert "where a restore or a copy was interrupted" in refused["error"]["message"]
    assert source.cli("db", "copy", "--from", sqlite_url(source), "--to", empty_database)["identical"]


def test_what_postgresql_cannot_hold_is_named(
    provisioned: tuple[Omnilab, Credentials], tmp_path: Path, empty_database: str
) -> None:
    omnilab = provisioned[0].copied_to(tmp_path)
    databases.run_sql(tmp_path / ".omnilab/omnilab.db", "UPDATE bookings SET event_title = 'a' || char(0) || 'b'")
    words = ["db", "copy", "--from", sqlite_url(omnilab), "--to", empty_database]
    told = omnilab.cli(*words, expect=1)["error"]
    assert told["code"] == "value_not_storable"
    assert "event_title" in told["message"]


def test_no_password_is_ever_printed(demo: Demo) -> None:
    secret = "hunter2-hunter2"
    url = f"postgresql://omnilab:{secret}@127.0.0.1:1/nothing"
    for words in (["db", "copy", "--from", sqlite_url(demo.omnilab), "--to", url], ["db", "status"]):
        done = demo.omnilab.run(*words, database_url=url if "status" in words else "")
        assert done.returncode == 3
        assert secret not in done.stdout + done.stderr
