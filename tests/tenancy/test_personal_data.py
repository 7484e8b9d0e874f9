"""Erasing a contact, exporting and deleting a tenant, reviewing access: from outside; the chain holds after each."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from tests.harness import Credentials, Omnilab, booking_row

DATABASE = ".omnilab/omnilab.db"


def everything(omnilab: Omnilab) -> bytes:
    """All that the database holds, free pages included."""
    with sqlite3.connect(omnilab.directory / DATABASE) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return b"".join(path.read_bytes() for path in (omnilab.directory / ".omnilab").glob("omnilab.db*"))


def test_an_erased_contact_is_nowhere_and_its_places_are_free(provisioned: Any, tmp_path: Path) -> None:
    omnilab, client = provisioned[0].copied_to(tmp_path), provisioned[1]
    person = "person-7f3a"
    rows = [booking_row(40 + n, external_id=person, slot_id="slt_small", slot_capacity=2,
                        slot_start_date="2030-01-05T10:00:00Z", slot_end_date="2030-01-05T11:00:00Z")
            for n in range(2)]  # fmt: skip
    omnilab.import_bookings("acme", rows)
    for path in tmp_path.glob("bookings-*.jsonl"):
        path.unlink()
    slot = {
        "interaction_id": "int_1",
        "event_id": "evt_1",
        "slot_id": "slt_small",
        "slot_start_date": "2030-01-05T10:00:00Z",
        "slot_end_date": "2030-01-05T11:00:00Z",
    }
    with omnilab.serve() as server:
        token = server.token(client)
        cancelled = server.cancel_booking(token, person, "bkg_00000040", **{"Idempotency-Key": "once"})
        assert cancelled.status_code == 200
        assert server.create_booking(token, external_id="other", **slot).status_code == 201
        assert server.create_booking(token, external_id="late", **slot).json()["code"] == "slot_full"
        erased = omnilab.cli("contacts", "erase", "--tenant", "acme", person)
        assert (erased["bookings"], erased["answers"]) == (2, 1)
        assert server.list_bookings(token, person).json()["total_count"] == 0
        assert server.create_booking(token, external_id="late", **slot).status_code == 201
        assert server.list_bookings(token, "contact-1").json()["total_count"] == 3
    assert person.encode() not in everything(omnilab)
    (record,) = omnilab.cli("audit", "show", erased["request_id"])["records"]
    assert record["endpoint"] == "contacts:erase"
    assert record["details"] == {"contact": erased["contact"], "bookings": 2, "answers": 1}
    assert omnilab.cli("audit", "verify")["intact"]
    assert omnilab.cli("contacts", "erase", "--tenant", "acme", person)["bookings"] == 0
    assert omnilab.cli("contacts", "erase", "--tenant", "nobody", "x", expect=1)["error"]["code"] == "tenant_unknown"


def test_a_deleted_tenant_is_exported_refused_explained_and_never_comes_back(provisioned: Any, tmp_path: Path) -> None:
    omnilab, client = provisioned[0].copied_to(tmp_path), provisioned[1]
    omnilab.create_tenant("globex")
    other: Credentials = omnilab.create_client("globex", allow=("bookings:read",))
    with omnilab.serve() as server:
        token, others = server.token(client), server.token(other)
        exported = omnilab.cli("tenants", "export", "acme", "acme.jsonl")
        lines = [json.loads(line) for line in (tmp_path / "acme.jsonl").read_text().splitlines()]
        kinds = [each["kind"] for each in lines]
        assert exported["lines"] == {kind: kinds.count(kind) for kind in set(kinds)}
        assert (kinds.count("tenant"), kinds.count("client"), kinds.count("booking")) == (1, 1, 3)
        assert {each["external_id"] for each in lines if each["kind"] == "booking"} == {"contact-1"}
        text = (tmp_path / "acme.jsonl").read_text()
        assert client.client_secret not in text
        assert "globex" not in text
        again = omnilab.cli("tenants", "export", "acme", "acme.jsonl", expect=1)
        assert again["error"]["code"] == "file_exists"

        asked = omnilab.cli("tenants", "delete", "acme", expect=1)
        assert asked["error"]["code"] == "confirmation_missing"
        assert server.token_answer(client).status_code == 200

        deleted = omnilab.cli("tenants", "delete", "acme", "--confirm")
        assert deleted["removed"]["bookings"] == 3
        refused, dead = server.token_answer(client), server.list_bookings(token, "contact-1")
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
        assert (dead.status_code, dead.json()["code"]) == (401, "token_revoked")
        assert server.list_bookings(others, "contact-1").status_code == 200
        shown = omnilab.cli("audit", "show", refused.json()["request_id"])
        assert "acme (a tenant that was deleted)" in shown["checks"][-1]["found"]
        time.sleep(1.2)  # a refusal of a read is recorded within a second
        assert omnilab.cli("audit", "show", dead.json()["request_id"])["code"] == "token_revoked"
    assert omnilab.cli("tenants", "create", "acme", "--name", "Acme", expect=1)["error"]["code"] == "tenant_exists"
    assert omnilab.cli("tenants", "delete", "acme", "--confirm")["removed"] == {}
    assert omnilab.cli("audit", "verify")["intact"]
    assert "contact-1" not in str(omnilab.rows("SELECT * FROM bookings"))
    tables = [name for (name,) in omnilab.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    tenant_id = deleted_id(omnilab)
    for table in tables:
        names = {row[1] for row in omnilab.rows(f"PRAGMA table_info({table})")}
        if "tenant_id" in names and table not in {"tenants", "client_directory", "audit_records", "changes"}:
            assert omnilab.rows(f"SELECT count(*) FROM {table} WHERE tenant_id = ?", tenant_id) == [(0,)], table
    assert omnilab.rows("SELECT name, sealed_contact_key FROM tenants WHERE tenant = 'acme'") == [("", b"")]


def deleted_id(omnilab: Omnilab) -> str:
    ((tenant_id,),) = omnilab.rows("SELECT tenant_id FROM tenants WHERE tenant = 'acme' AND status = 'deleted'")
    return str(tenant_id)


def test_the_access_report_tells_who_holds_what_and_what_nobody_uses(provisioned: Any, tmp_path: Path) -> None:
    omnilab, client = provisioned[0].copied_to(tmp_path), provisioned[1]
    idle = omnilab.create_client("acme", allow=("bookings:read",))
    with omnilab.serve() as server:
        server.token(client)
    long_ago = 1_600_000_000_000
    with sqlite3.connect(omnilab.directory / DATABASE) as connection:
        for table in ("clients", "secrets"):
            connection.execute(f"UPDATE {table} SET created_at = ?", (long_ago,))
    report = omnilab.cli("access-report")
    found = {each["client_id"]: each for each in report["clients"]}
    assert report["unused_clients"] == 1
    assert (found[client.client_id]["unused"], found[idle.client_id]["unused"]) == (False, True)
    assert found[idle.client_id]["allowed"] == ["bookings:read"]
    assert found[client.client_id]["secrets"][0]["use_count"] == 1
    assert found[client.client_id]["last_used_at"] is not None
    words = omnilab.run("access-report", "--tenant", "acme")
    assert "1 of 2 clients unused for 90 days" in words.stdout
    assert omnilab.cli("access-report", "--unused-days", "9000")["unused_clients"] == 0
    assert omnilab.cli("access-report", "--tenant", "nobody", expect=1)["error"]["code"] == "tenant_unknown"
