"""`omnilab audit …` from outside: a request id is enough to say why, and tampering is named."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from omnilab.cli import main
from omnilab.codes import CODES
from tests.conftest import Served
from tests.harness import Credentials, Omnilab, Server

UNKNOWN_ID = "0190b5e4-8c1a-7d3f-9a2b-3c4d5e6f7a8b"
Ask = Callable[[Server, Credentials], Any]


def token_with(**fields: str) -> Ask:
    return lambda server, client: server.token_answer(client, **fields)


def mistyped(server: Server, client: Credentials) -> Any:
    last = "x" if client.client_secret[-1] != "x" else "y"
    return server.token_answer(client, client_secret=client.client_secret[:-1] + last)


def cut_off(server: Server, client: Credentials) -> Any:
    return server.token_answer(client, client_secret=client.client_secret[:-7])


def from_a_browser(server: Server, client: Credentials) -> Any:
    body = {
        "client_id": client.client_id,
        "client_secret": "not-the-one",
        "audience": client.audience,
        "grant_type": "client_credentials",
    }
    return server.http.post("/v1/oauth:token", json=body, headers={"Origin": "https://app.example"})


def in_plain_text(server: Server, client: Credentials) -> Any:
    return server.http.post("/v1/oauth:token", content=b"{}", headers={"Content-Type": "text/plain"})


def without_token(server: Server, client: Credentials) -> Any:
    return server.http.get("/v1/interactions:fetchContactBookings", params={"external_id": "contact-1"})


def with_half_a_token(server: Server, client: Credentials) -> Any:
    return server.list_bookings(server.token(client)[:-9], "contact-1")


def not_granted(server: Server, client: Credentials) -> Any:
    body = {"external_id": "contact-1", "booking_id": "bkg_1"}
    headers = {"Authorization": f"Bearer {server.token(client)}"}
    return server.http.post("/v1/interactions:cancelContactBooking", json=body, headers=headers)


def misspelt(server: Server, client: Credentials) -> Any:
    return server.list_bookings(server.token(client), "contact-1", booking_statu="CONFIRMED")


def no_such_call(server: Server, client: Credentials) -> Any:
    return server.http.get("/v1/interactions/fetchContactBookings")


# What was sent, the code that names the true cause, the failed check, and whether the client was proved.
REFUSALS: list[tuple[Ask, str, str, bool]] = [
    (mistyped, "secret_mistyped", "credential_text", False),
    (cut_off, "secret_cut_off", "credential_text", False),
    (token_with(client_secret="not-the-one"), "client_authentication_failed", "credential", False),
    (token_with(audience="urn:nobody"), "audience_unknown", "audience", True),
    (token_with(scope="bookings:cancel"), "scope_not_granted", "scope", True),
    (token_with(grant_type="password"), "grant_type_unsupported", "grant_type", False),
    (from_a_browser, "browser_request", "browser", False),
    (in_plain_text, "media_type_unsupported", "media_type", False),
    (without_token, "token_missing", "token_presented", False),
    (with_half_a_token, "token_malformed", "token_form", False),
    (not_granted, "endpoint_not_enabled", "grant", True),
    (misspelt, "parameter_unknown", "parameters", True),
    (no_such_call, "not_found", "route", False),
]


def run(omnilab: Omnilab, *words: str) -> tuple[int, str]:
    """A command in this very process: importing the program anew costs a second of CPU each time."""
    out = io.StringIO()
    with (
        contextlib.chdir(omnilab.directory),
        mock.patch.dict("os.environ", omnilab.environ(), clear=True),
        mock.patch("sys.argv", ["omnilab", *words]),
        contextlib.redirect_stdout(out),
        pytest.raises(SystemExit) as ended,
    ):
        main.main()
    return int(ended.value.code or 0), out.getvalue()


def cli(omnilab: Omnilab, *words: str, expect: int = 0) -> dict[str, Any]:
    """The document of a command with `--json`."""
    code, text = run(omnilab, *words, "--json")
    assert code == expect, text
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.fixture(scope="module")
def reader(served: Served) -> Credentials:
    """A client that may only read."""
    return served.omnilab.create_client("acme", allow=["bookings:read"])


@pytest.fixture(scope="module")
def refused(served: Served, reader: Credentials) -> dict[str, str]:
    """The request id of each refusal, all of them recorded."""
    answers = {code: ask(served.server, reader) for ask, code, _, _ in REFUSALS}
    assert [code for code, answer in answers.items() if answer.status_code < 400] == []
    time.sleep(1)
    return {code: answer.headers["X-Request-Id"] for code, answer in answers.items()}


@pytest.mark.parametrize(("code", "check", "proved"), [each[1:] for each in REFUSALS])
def test_show_names_the_true_cause_and_the_fix(
    served: Served, reader: Credentials, refused: dict[str, str], code: str, check: str, proved: bool
) -> None:
    shown = cli(served.omnilab, "audit", "show", refused[code])
    (record,) = shown.pop("records")
    assert shown == record
    assert (record["outcome"], record["code"], record["fix"]) == ("refused", code, CODES[code].fix)
    assert [each["name"] for each in record["checks"] if not each["passed"]] == [check]
    assert record["checks"][-1]["found"]
    assert (record["client_id"], record["tenant"]) == ((reader.client_id, "acme") if proved else (None, None))
    assert record["address"] == "127.0.0.1"


def test_show_tells_people_the_failed_check_and_what_to_do(served: Served, refused: dict[str, str]) -> None:
    words = run(served.omnilab, "audit", "show", refused["endpoint_not_enabled"])[1]
    assert "FAILED  grant" in words
    assert CODES["endpoint_not_enabled"].fix in words


def test_a_granted_request_shows_every_check_passed(served: Served, reader: Credentials) -> None:
    answer = served.server.token_answer(reader)
    (record,) = cli(served.omnilab, "audit", "show", answer.headers["X-Request-Id"])["records"]
    assert (record["outcome"], record["endpoint"], record["fix"]) == ("granted", "oauth:token", None)
    assert all(each["passed"] for each in record["checks"])
    assert (record["client_id"], record["secret_id"]) == (reader.client_id, reader.secret_id)


def test_explain_groups_and_writes_a_reply_without_secrets(served: Served, reader: Credentials) -> None:
    for _ in range(3):
        not_granted(served.server, reader)
        served.server.token_answer(reader, client_secret="not-the-one")
    time.sleep(1)
    document = cli(served.omnilab, "audit", "explain", "--tenant", "acme", "--since", "1h")
    causes = {each["code"]: each for each in document["causes"]}
    assert causes["endpoint_not_enabled"]["count"] >= 3
    assert causes["endpoint_not_enabled"]["proved"]
    failed = causes["client_authentication_failed"]
    assert failed["client_id"] == reader.client_id
    assert "none of its secrets" in failed["found"]
    assert failed["fix"] in failed["reply"]
    code, words = run(served.omnilab, "audit", "explain", "--tenant", "acme")
    assert code == 0
    assert "Reply" in words
    assert reader.client_secret[9:17] not in words + str(document)


def test_list_takes_its_filters(served: Served, reader: Credentials) -> None:
    served.server.token(reader)
    listed = cli(
        served.omnilab, "audit", "list", "--client", reader.client_id, "--outcome", "granted", "--since", "15m"
    )
    assert {each["client_id"] for each in listed["records"]} == {reader.client_id}
    made = next(each for each in listed["records"] if each["endpoint"] == "clients:create")
    assert set(made["actor"]) == {"os_user", "host", "operator", "ticket"}
    assert "Made by" in run(served.omnilab, "audit", "show", made["request_id"])[1]
    at = cli(served.omnilab, "audit", "list", "--since", "2001-01-01T00:00:00Z", "--limit", "2", "--tenant", "acme")
    assert len(at["records"]) == 2
    assert "REQUEST_ID" in run(served.omnilab, "audit", "list")[1]
    assert cli(served.omnilab, "audit", "list", "--since", "2099-01-01T00:00:00Z") == {"records": []}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", UNKNOWN_ID), 1),
        (("show", "no-id"), 2),
        (("explain", "--tenant", "nobody"), 1),
        (("explain", "--tenant", "acme", "--since", "yesterday"), 2),
        (("list", "--since", "2026-12-01T10:00:00"), 2),
        (("list", "--outcome", "maybe"), 2),
        (("list", "--limit", "0"), 2),
    ],
)
def test_what_cannot_be_answered_is_said_with_its_exit_code(served: Served, words: tuple[str, ...], code: int) -> None:
    assert cli(served.omnilab, "audit", *words, expect=code)["error"]["message"]


def test_verify_names_the_place_of_tampering(omnilab: Omnilab) -> None:
    omnilab.create_tenant("acme")
    assert cli(omnilab, "audit", "verify")["intact"] is True
    assert run(omnilab, "audit", "verify")[1].startswith("Intact")
    assert run(omnilab, "audit", "explain", "--tenant", "acme")[1].startswith("No refusals")
    with sqlite3.connect(omnilab.directory / ".omnilab" / "omnilab.db") as connection:
        connection.execute("UPDATE audit_records SET body = replace(body, 'Acme', 'Amce') WHERE outcome = 'granted'")
    found = cli(omnilab, "audit", "verify", expect=1)
    assert found["intact"] is False
    (finding,) = found["findings"]
    words = omnilab.run("audit", "verify")
    assert words.returncode == 1
    assert finding["chain_id"] in words.stdout
    assert finding["request_id"] in words.stdout


def test_an_export_is_checked_on_a_machine_that_has_nothing_of_ours(omnilab: Omnilab, tmp_path_factory: Any) -> None:
    omnilab.create_tenant("acme")
    made = cli(omnilab, "audit", "export", "audit.jsonl")
    assert made["intact"] is True
    key = cli(omnilab, "audit", "public-key")["public_key"]
    assert made["public_key"] == key
    assert run(omnilab, "audit", "public-key")[1].strip() == key
    assert cli(omnilab, "audit", "export", "audit.jsonl", expect=1)["error"]["code"] == "file_exists"
    elsewhere = Omnilab(tmp_path_factory.mktemp("auditor"))
    text = (omnilab.directory / "audit.jsonl").read_text()
    (elsewhere.directory / "copy.jsonl").write_text(text)
    check = ("audit", "verify-export", "copy.jsonl", "--public-key", key)
    assert elsewhere.cli(*check)["records"] == made["records"]
    (elsewhere.directory / "copy.jsonl").write_text(text.replace("Acme", "Amce"))
    found = cli(elsewhere, *check, expect=1)
    assert found["intact"] is False
    line = found["faults"][0]["first_line"]
    assert "Acme" in text.splitlines()[line - 1]
    code, words = run(elsewhere, *check)
    assert code == 1
    assert f"line {line}" in words
    assert not (elsewhere.directory / ".omnilab").exists()


def test_retention_takes_an_age_of_a_day_or_more(omnilab: Omnilab) -> None:
    omnilab.create_tenant("acme")
    assert cli(omnilab, "audit", "retain", "--older-than", "400d")["removed"] == 0
    for age in ("23h", "1", "soon"):
        assert cli(omnilab, "audit", "retain", "--older-than", age, expect=2)["error"]["code"] == "usage"
    assert cli(omnilab, "audit", "verify")["intact"] is True
