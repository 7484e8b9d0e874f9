"""`omnilab seed`: totals, spread, credentials that work, and where it is refused."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.harness import Credentials, Omnilab


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Omnilab:
    omnilab = Omnilab(tmp_path_factory.mktemp("seeded")).init()
    file = omnilab.directory / "credentials.jsonl"
    file.write_text("left over")
    file.chmod(0o644)
    words = ("--tenants", "3", "--clients", "10", "--bookings", "1000", "--credentials-file", str(file))
    made = omnilab.cli("seed", *words)
    assert made == {"tenants": 3, "clients": 10, "bookings": 1000, "credentials_file": str(file)}
    return omnilab


def rows(omnilab: Omnilab, sql: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(omnilab.directory / ".omnilab/omnilab.db")
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


def credentials(omnilab: Omnilab) -> list[Credentials]:
    lines = (omnilab.directory / "credentials.jsonl").read_text().splitlines()
    made = [json.loads(line) for line in lines]
    return [
        Credentials(tenant=each["audience"].rpartition(":")[2], **(each | {"allowed": tuple(each["allowed"])}))
        for each in made
    ]


def test_the_credentials_file_is_for_its_owner_alone(seeded: Omnilab) -> None:
    file = seeded.directory / "credentials.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(credentials(seeded)) == 10


def test_totals_are_spread_evenly(seeded: Omnilab) -> None:
    clients = Counter(each.tenant for each in credentials(seeded))
    assert sorted(clients.values()) == [3, 3, 4]
    per_tenant = rows(seeded, "SELECT count(*) FROM bookings GROUP BY tenant_id ORDER BY 1")
    assert per_tenant == [(333,), (333,), (334,)]
    contacts = rows(seeded, "SELECT DISTINCT count(*) FROM bookings GROUP BY tenant_id, external_id ORDER BY 1")
    assert (3,) in contacts
    assert seeded.cli("bookings", "list", "--tenant", "seed-00001", "--external-id", "contact-1")["total_count"] == 3


def test_the_places_of_slots_are_counted(seeded: Omnilab) -> None:
    differing = rows(
        seeded,
        "SELECT s.slot_id FROM slots s WHERE places_taken <> (SELECT count(*) FROM bookings b"
        " WHERE b.tenant_id = s.tenant_id AND b.slot_id = s.slot_id AND b.slot_start_at = s.slot_start_at)",
    )
    assert differing == []


def test_every_credential_gets_a_token_with_all_rights(seeded: Omnilab) -> None:
    with seeded.serve() as server:
        for client in credentials(seeded):
            assert client.allowed == ("bookings:cancel", "bookings:create", "bookings:read")
            answer = server.list_bookings(server.token(client), "contact-1")
            assert answer.status_code == 200
            assert answer.json()["total_count"] == 3
        booking = answer.json()["bookings"][0]["booking_id"]
        assert server.cancel_booking(server.token(client), "contact-1", booking).status_code == 200


def test_a_later_run_goes_on_with_the_next_tenant(seeded: Omnilab) -> None:
    seeded.cli("seed", "--tenants", "1", "--clients", "0", "--bookings", "1")
    keys = [each["tenant"] for each in seeded.cli("tenants", "list")["tenants"]]
    assert keys == ["seed-00001", "seed-00002", "seed-00003", "seed-00004"]


def test_a_file_that_cannot_be_written_is_named(seeded: Omnilab) -> None:
    nowhere = str(seeded.directory / "no/such/file")
    error = seeded.cli("seed", "--tenants", "1", "--credentials-file", nowhere, expect=1)["error"]
    assert error["code"] == "file_not_writable"
    assert nowhere in error["message"]


def test_outside_development_it_is_refused(tmp_path: Path) -> None:
    settings = {"environment": "staging", "public_url": "https://x.example.com", "master_key": "ab" * 32}
    omnilab = Omnilab(tmp_path, **settings).init()
    assert omnilab.cli("seed", expect=1)["error"]["code"] == "development_only"
    assert omnilab.cli("tenants", "list") == {"tenants": []}
    assert omnilab.cli("demo", expect=1)["error"]["code"] == "development_only"
