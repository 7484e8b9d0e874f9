"""The move from an earlier system: its credentials are taken over, used as they are, rotated, and end on their date."""

from __future__ import annotations

import base64
import csv
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.harness import CommandLine, Omnilab, Server, bearer

CREDENTIALS = 50
TENANTS = ("acme", "globex")
COLUMNS = ("tenant", "client_id", "client_secret", "audience", "allowed", "legacy_expires_at")
# Long enough for an import, fifty tokens and ten rotations.
GOOD_FOR_SECONDS = 8.0
ROTATED_AT_ONCE = 10
LONG_AGO = "2020-01-01T00:00:00Z"
OURS = "omni_dev_" + 43 * "A" + "000000"
TOKEN, LIST = "/v1/oauth:token", "/v1/interactions:fetchContactBookings"


@dataclass(frozen=True, slots=True)
class Legacy:
    """A credential as the earlier system gave it out: its texts follow no rule of ours."""

    number: int
    tenant: str
    client_id: str
    client_secret: str

    @classmethod
    def of(cls, number: int) -> Legacy:
        client_id = (f"kiosk {number}:front/desk", f"svc-{number}@old.example", f"{10_000 + number}")[number % 3]
        secret = (f"Zürich%20+{number}=!", f"{number:032x}", f"a:b&c=d {number};\"'\\")[number % 3]
        return cls(number, TENANTS[number % 2], client_id, secret)

    @property
    def fields(self) -> dict[str, str]:
        return {"grant_type": "client_credentials", "audience": f"urn:omnilab:development:{self.tenant}"}

    def ask(self, server: Server, secret: str) -> httpx.Response:
        """Ask for a token as this client does: with JSON, a form, or HTTP Basic."""
        who = {"client_id": self.client_id, "client_secret": secret}
        if self.number % 3 == 0:
            return server.http.post(TOKEN, json=self.fields | who)
        if self.number % 3 == 1:
            return server.http.post(TOKEN, data=self.fields | who)
        # RFC 6749 §2.3.1: both are percent-encoded before Basic puts the colon between them.
        pair = base64.b64encode(f"{quote(self.client_id, safe='')}:{quote(secret, safe='')}".encode()).decode()
        return server.http.post(TOKEN, data=self.fields, headers={"Authorization": f"Basic {pair}"})


def refused_rows(good_until: str) -> list[tuple[str, ...]]:
    """Rows that cannot be taken, each for a reason of its own; every one with a secret that must not be repeated."""
    return [
        ("initech", "lost", "secret-of-nobody", "", "bookings:read", good_until),
        ("acme", "ours", OURS, "", "bookings:read", good_until),
        ("acme", "late", "secret-of-yesterday", "", "bookings:read", LONG_AGO),
        ("acme", "greedy", "secret-of-the-greedy", "", "kiosks:open", good_until),
        ("acme", "swapped-secret-of-swapped", "secret-of-swapped", "", "bookings:read", good_until),
        ("acme", "short", "secret-of-the-short"),
    ]


def test_fifty_credentials_of_an_earlier_system(omnilab: Omnilab) -> None:
    olds = [Legacy.of(number) for number in range(CREDENTIALS)]
    with omnilab.command_line() as cli, omnilab.serve(workers=2) as server:
        for tenant in TENANTS:
            cli.run("tenants", "create", tenant, "--name", tenant)
        expires_at = time.time() + GOOD_FOR_SECONDS
        good_until = datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="milliseconds")
        file = write_file(omnilab.directory / "earlier.csv", olds, good_until)
        done = cli.run("clients", "import", str(file), expect=1)
        assert (done["imported"], done["existing"], done["rejected"]) == (CREDENTIALS, 0, 6)
        check_rejects(Path(done["rejected_file"]), good_until)

        tokens = [token_of(old, server, old.client_secret) for old in olds]
        news = [rotated(cli, old) for old in olds[:ROTATED_AT_ONCE]]
        # Callers move one by one: for a while both are good.
        assert all(token_of(old, server, old.client_secret) for old in olds[:ROTATED_AT_ONCE])
        logging.getLogger(__name__).info("seconds to spare: %.1f", expires_at - time.time())
        assert {list_status(server, token) for token in tokens} == {200}
        news += [rotated(cli, old) for old in olds[ROTATED_AT_ONCE:]]
        assert all(token_of(old, server, new) for old, new in zip(olds, news, strict=True))

        time.sleep(max(0.0, expires_at - time.time()) + 0.01)
        refusals = [old.ask(server, old.client_secret) for old in olds]
        assert {told(refusal) for refusal in refusals} == {(401, "invalid_client", "secret_expired")}
        # The date ends the issuing: tokens that are out, and the new secrets, go on.
        assert {list_status(server, token) for token in tokens} == {200}
        assert all(token_of(old, server, new) for old, new in zip(olds, news, strict=True))

        again = cli.run("clients", "import", str(file), expect=1)
        assert (again["imported"], again["existing"], again["rejected"]) == (0, CREDENTIALS, 6)
        [shown] = cli.run("audit", "show", refusals[0].headers["x-request-id"])["records"]
        assert (shown["client_id"], shown["code"]) == (olds[0].client_id, "secret_expired")
    check_secrets(omnilab, olds[0], good_until)
    assert_unwritten(omnilab, [*(old.client_secret for old in olds if old.number % 3 != 1), *news], file)


def rotated(cli: CommandLine, old: Legacy) -> str:
    added = cli.run("secrets", "add", old.client_id, "--label", "after the move")
    assert added["client_id"] == old.client_id
    assert added["client_secret"].startswith("omni_dev_")
    return str(added["client_secret"])


def write_file(path: Path, olds: list[Legacy], good_until: str) -> Path:
    rows = [(old.tenant, old.client_id, old.client_secret, "", "bookings:read", good_until) for old in olds]
    with path.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([COLUMNS, *rows, *refused_rows(good_until)])
    return path


def check_rejects(path: Path, good_until: str) -> None:
    """One line for each refused row, with the reason and without its secret, for its owner's eyes only."""
    text = path.read_text()
    rejects = [json.loads(line) for line in text.splitlines()]
    rows = refused_rows(good_until)
    assert [each["line"] for each in rejects] == list(range(CREDENTIALS + 2, CREDENTIALS + 2 + len(rows)))
    assert all(each["reason"] and "client_secret" not in each["row"] for each in rejects)
    assert len({each["reason"] for each in rejects}) == len(rows)
    assert not any(row[2] in text for row in rows)
    assert path.stat().st_mode & 0o777 == 0o600


def token_of(old: Legacy, server: Server, secret: str) -> str:
    answer = old.ask(server, secret)
    assert answer.status_code == 200, (old, answer.text)
    return str(answer.json()["access_token"])


def list_status(server: Server, token: str) -> int:
    return server.http.get(LIST, params={"external_id": "contact-1"}, headers=bearer(token)).status_code


def told(refusal: httpx.Response) -> tuple[int, str, str]:
    document: dict[str, Any] = refusal.json()
    return refusal.status_code, document["error"], document["error_uri"].rpartition("/")[2]


def check_secrets(omnilab: Omnilab, old: Legacy, good_until: str) -> None:
    """What an operator sees of a client that has moved: the old secret ended, the new one live, both with their use."""
    listed = omnilab.cli("secrets", "list", old.client_id)["secrets"]
    legacy, new = sorted(listed, key=lambda each: bool(each["label"] == "after the move"))
    assert (legacy["legacy"], legacy["status"], legacy["use_count"]) == (True, "expired", 2)
    assert datetime.fromisoformat(legacy["expires_at"]) == datetime.fromisoformat(good_until)
    assert (new["legacy"], new["status"], new["use_count"]) == (False, "live", 2)
    assert new["last_address"] == "127.0.0.1"


def assert_unwritten(omnilab: Omnilab, secrets: list[str], given: Path) -> None:
    """No file of the installation holds a secret, the one that was imported excepted."""
    for path in omnilab.directory.rglob("*"):
        if path.is_file() and path != given:
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path
