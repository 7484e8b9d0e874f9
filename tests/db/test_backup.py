"""Backup, restore, reconcile: what was taken back after the backup never comes to life again."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omnilab.installation import open_installation
from omnilab.settings import load_settings
from tests.db.killing import killed
from tests.harness import CommandLine, Credentials, Omnilab, Server, booking_row, databases

CLIENTS = 10


@dataclass(frozen=True, slots=True)
class Past:
    """An installation with a backup, all that was taken back after it, and an audit export kept elsewhere."""

    omnilab: Omnilab
    clients: list[Credentials]
    tokens: list[str]
    backup: Path
    export: Path
    taken_at: str
    added: dict[str, Any]
    link: tuple[str, str]


def provision(omnilab: Omnilab, cli: CommandLine) -> list[Credentials]:
    for tenant in ("acme", "beta", "gone"):
        cli.run("tenants", "create", tenant, "--name", tenant)
    omnilab.import_bookings("acme", [booking_row(number) for number in range(1, 7)])
    homes = {7: "beta", 8: "gone"}
    rights = ("--allow", "bookings:read", "--allow", "bookings:cancel")
    made = []
    for number in range(CLIENTS):
        tenant = homes.get(number, "acme")
        told = cli.run("clients", "create", "--tenant", tenant, "--name", "Backend", *rights)
        names = ("client_id", "client_secret", "secret_id", "audience", "base_url", "token_url", "issuer")
        made.append(Credentials(tenant=tenant, allowed=(), **{name: told[name] for name in names}))
    return made


def take_back(
    run: CommandLine, server: Server, clients: list[Credentials], tokens: list[str], link: tuple[str, str]
) -> dict[str, Any]:
    """Everything that somebody may want to be over, once."""
    cli = run.run
    cli("secrets", "revoke", clients[0].client_id, clients[0].secret_id)
    cli("clients", "disable", clients[1].client_id)
    cli("grants", "withdraw", clients[2].client_id, "bookings:read")
    own = {"client_id": clients[3].client_id, "client_secret": clients[3].client_secret, "token": tokens[3]}
    assert server.http.post("/v1/oauth:revoke", data=own).status_code == 200
    cli("clients", "update", clients[4].client_id, "--allow-token-address", "192.0.2.0/24")
    cli("clients", "disable", clients[5].client_id)
    cli("clients", "enable", clients[5].client_id)
    cli("tenants", "suspend", "beta")
    cli("tenants", "delete", "gone", "--confirm")
    assert server.cancel_booking(tokens[9], "contact-1", "bkg_00000001").status_code == 200
    cli("contacts", "erase", "contact-2", "--tenant", "acme")
    assert server.http.post("/hand-off", json={"hand_off_id": link[0], "claim": link[1]}).status_code == 200
    return cli("secrets", "add", clients[6].client_id)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return lived(tmp_path_factory.mktemp("past"))


def lived(folder: Path, **settings: str) -> Past:
    omnilab = Omnilab(folder, **settings)
    backup, export = folder / "omnilab.backup", folder / "export.jsonl"
    with omnilab.init().command_line() as cli, omnilab.serve() as server:
        clients = provision(omnilab, cli)
        hand_off = cli.run("secrets", "add", clients[9].client_id, "--hand-off")["hand_off_url"]
        path, _, claim = hand_off.partition("#")
        link = (path.rpartition("/")[2], claim)
        tokens = [server.token(client) for client in clients]
        made = cli.run("db", "backup", str(backup))
        assert made["identical"]
        added = take_back(cli, server, clients, tokens, link)
        cli.run("audit", "export", str(export))
    return Past(omnilab, clients, tokens, backup, export, made["taken_at"], added, link)


@contextmanager
def restored(past: Past, folder: Path) -> Iterator[Omnilab]:
    """The backup in a new database of the same engine, with the same key and issuer."""
    settings = dict(past.omnilab.settings)
    if "database_url" in settings:
        settings["database_url"] = databases.cluster().create_database()
    settings["master_key_file"] = str(past.omnilab.directory / ".omnilab/master.key")
    omnilab = Omnilab(folder, **settings)
    omnilab.port, omnilab.url = past.omnilab.port, past.omnilab.url
    done = omnilab.cli("db", "restore", str(past.backup))
    assert done["awaits_reconcile"]
    yield omnilab


def refused_everywhere(server: Server, past: Past) -> None:
    """Nothing that was taken back works: no credential, no token, no link."""
    clients, tokens = past.clients, past.tokens
    for number, status in ((0, 401), (1, 401), (4, 401), (7, 401), (8, 401)):
        assert server.token_answer(clients[number]).status_code == status, number
    for number, status in ((0, 401), (1, 401), (2, 403), (3, 401), (7, 401), (8, 401)):
        assert server.list_bookings(tokens[number], "contact-1").status_code == status, number
    opened = server.http.post("/hand-off", json={"hand_off_id": past.link[0], "claim": past.link[1]})
    assert opened.status_code != 200


def test_nothing_serves_or_changes_a_restored_database(past: Past, tmp_path: Path) -> None:
    with restored(past, tmp_path) as omnilab:
        for words in (
            ["serve", "--port", str(omnilab.port)],
            ["clients", "list"],
            ["secrets", "add", past.clients[0].client_id],
        ):
            told = omnilab.cli(*words, expect=1)["error"]
            assert told["code"] == "reconcile_first"
            assert "omnilab db reconcile" in told["message"]
        assert omnilab.cli("db", "status")["awaits_reconcile"] is True
        assert omnilab.cli("db", "check")["intact"]


def test_on_postgresql_nothing_comes_to_life_again(tmp_path: Path) -> None:
    folder = tmp_path / "past"
    folder.mkdir()
    (tmp_path / "restored").mkdir()
    past = lived(folder, database_url=databases.cluster().create_database())
    test_with_the_export_nothing_comes_to_life_again(past, tmp_path / "restored")


def test_with_the_export_nothing_comes_to_life_again(past: Past, tmp_path: Path) -> None:
    with restored(past, tmp_path) as omnilab:
        done = omnilab.cli("db", "reconcile", "--export", str(past.export))
        assert done["taken_at"] == past.taken_at
        expected = {"secrets:revoke": 1, "clients:disable": 2, "clients:enable": 1, "grants:withdraw": 1}
        expected |= {
            "oauth:revoke": 1,
            "clients:update": 1,
            "tenants:suspend": 1,
            "tenants:delete": 1,
            "tenants:erase": 1,
        }
        expected |= {"bookings:cancel": 1, "contacts:erase": 1, "hand-offs:open": 1}
        assert done["replayed"] == expected
        assert done["lost"] == {"secrets:add": 1, "hand-offs:open": 1}
        with omnilab.serve() as server:
            refused_everywhere(server, past)
            for number in (5, 6, 9):  # switched off and on again, or never touched
                assert server.token_answer(past.clients[number]).status_code == 200
                assert server.list_bookings(past.tokens[number], "contact-3").status_code == 200
            lost = {"client_secret": past.added["client_secret"]}
            assert server.token_answer(past.clients[6], **lost).status_code == 401  # made after the backup
            [booking] = server.list_bookings(past.tokens[9], "contact-1", booking_id="bkg_00000001").json()["bookings"]
            assert booking["booking_status"] == "CANCELLED"
            assert server.list_bookings(past.tokens[9], "contact-2").json()["total_count"] == 0
        assert omnilab.cli("db", "check")["intact"]
        assert omnilab.cli("audit", "verify")["intact"]
        assert omnilab.cli("db", "reconcile", "--export", str(past.export), expect=1)["error"]["code"] == "not_restored"


def test_without_an_export_everything_that_lived_is_revoked(past: Past, tmp_path: Path) -> None:
    with restored(past, tmp_path) as omnilab:
        late = omnilab.cli("db", "reconcile", "--revoke-all-since", "2099-01-01T00:00:00Z", expect=1)
        assert late["error"]["code"] == "since_too_late"
        done = omnilab.cli("db", "reconcile", "--revoke-all-since", past.taken_at)
        assert done["revoked"]["secrets"] == CLIENTS
        with omnilab.serve() as server:
            for client, token in zip(past.clients, past.tokens, strict=True):
                assert server.token_answer(client).status_code == 401
                assert server.list_bookings(token, "contact-1").status_code == 401
            opened = server.http.post("/hand-off", json={"hand_off_id": past.link[0], "claim": past.link[1]})
            assert opened.status_code != 200
            fresh = omnilab.cli("secrets", "add", past.clients[6].client_id)["client_secret"]
            assert server.token_answer(past.clients[6], client_secret=fresh).status_code == 200


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_killed_restore_leaves_an_empty_database_and_the_next_one_completes(
    past: Past, tmp_path: Path, engine: str
) -> None:
    settings = {"master_key_file": str(past.omnilab.directory / ".omnilab/master.key")}
    if engine == "postgresql":
        settings["database_url"] = databases.cluster().create_database()
    omnilab = Omnilab(tmp_path, **settings)
    side = {"sqlite": "SQLiteSide", "postgresql": "PostgreSQLSide"}[engine]
    for method, before in (("insert", 1), ("insert", 6), ("commit", 1)):
        killed(omnilab, ["db", "restore", str(past.backup)], ("omnilab.storage.sides", side, method), before=before)
        assert omnilab.cli("clients", "list", expect=1)["error"]["code"] == "not_initialised"
    assert omnilab.cli("db", "restore", str(past.backup))["identical"]
    assert omnilab.cli("clients", "list", expect=1)["error"]["code"] == "reconcile_first"
    assert omnilab.cli("db", "check")["intact"]


def test_a_killed_backup_is_no_file_and_the_next_one_completes(past: Past, tmp_path: Path) -> None:
    file = tmp_path / "again.backup"
    step = "omnilab.storage.sides", "SQLiteSide"
    for method in ("insert", "commit", "settle"):
        killed(past.omnilab, ["db", "backup", str(file)], (*step, method), before=1)
        assert not file.exists()
    assert past.omnilab.cli("db", "backup", str(file))["identical"]
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_a_killed_reconciliation_leaves_the_mark_and_is_completed_by_the_next(past: Past, tmp_path: Path) -> None:
    with restored(past, tmp_path) as omnilab:
        words = ["db", "reconcile", "--export", str(past.export)]
        finish = "omnilab.recovery.reconciliation", "Reconciliation", "_finish"
        for step, before in ((("omnilab.recovery.replay", "Replay", "take"), 5), (finish, 1)):
            killed(omnilab, words, step, before=before)
            assert omnilab.cli("clients", "list", expect=1)["error"]["code"] == "reconcile_first"
        assert omnilab.cli(*words)["known_until"]
        with omnilab.serve() as server:
            refused_everywhere(server, past)
        assert omnilab.cli("db", "check")["intact"]


def test_an_export_that_was_changed_is_refused(past: Past, tmp_path: Path) -> None:
    with restored(past, tmp_path) as omnilab:
        changed = tmp_path / "changed.jsonl"
        changed.write_bytes(past.export.read_bytes().replace(b"secrets:revoke", b"secrets:rotate", 1))
        told = omnilab.cli("db", "reconcile", "--export", str(changed), expect=1)["error"]
        assert told["code"] == "export_not_intact"
        assert omnilab.cli("clients", "list", expect=1)["error"]["code"] == "reconcile_first"


def test_an_export_that_knows_nothing_newer_is_refused(past: Past, tmp_path: Path) -> None:
    """Made before the backup, or after retention had let go of what came after the backup."""
    omnilab = past.omnilab.copied_to(tmp_path / "living")
    early, late = tmp_path / "early.jsonl", tmp_path / "late.backup"
    with omnilab.command_line() as cli:
        cli.run("audit", "export", str(early))
        cli.run("db", "backup", str(late))
        other = Omnilab(tmp_path / "other", master_key_file=str(omnilab.directory / ".omnilab/master.key"))
        other.directory.mkdir()
        other.cli("db", "restore", str(late))
        assert other.cli("db", "reconcile", "--export", str(early), expect=1)["error"]["code"] == "export_too_old"
        # What was recorded after the backup is taken for older than it is, so that retention lets go of it.
        cut = tmp_path / "cut.jsonl"
        cli.run("secrets", "revoke", past.clients[9].client_id, past.clients[9].secret_id)
    asyncio.run(let_go_of_everything(omnilab))
    omnilab.cli("audit", "export", str(cut))
    assert other.cli("db", "reconcile", "--export", str(cut), expect=1)["error"]["code"] == "export_cut"
    assert other.cli("clients", "list", expect=1)["error"]["code"] == "reconcile_first"


async def let_go_of_everything(omnilab: Omnilab) -> None:
    """As retention would after years: all records are old."""
    place = omnilab.directory / ".omnilab"
    settings = {"database_url": f"sqlite:///{place}/omnilab.db", "master_key_file": str(place / "master.key")}
    installed = await open_installation(load_settings(omnilab.environ(settings)))
    try:
        await installed.audit.retain(installed.clock.now_ms() + 1, actor=None)
    finally:
        await installed.close()


def test_a_running_node_finds_the_mark_and_decides_nothing_until_it_is_reconciled(past: Past, tmp_path: Path) -> None:
    """Restored by other means, under a node that still runs: what it holds in memory is of another past."""
    omnilab = past.omnilab.copied_to(tmp_path)
    client = past.clients[6]
    with omnilab.serve() as server:
        assert server.token_answer(client).status_code == 200
        omnilab.cli("db", "mark-restored", "--taken-at", past.taken_at)
        deadline = time.monotonic() + 15
        while server.token_answer(client).status_code != 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server.http.get("/readyz").status_code == 503
        omnilab.cli("db", "reconcile", "--export", str(past.export))
        deadline = time.monotonic() + 15
        while server.token_answer(client).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_looking_is_allowed_before(past: Past, tmp_path: Path) -> None:
    with restored(past, tmp_path) as omnilab:
        assert omnilab.cli("audit", "list", "--tenant", "acme")["records"]
        assert omnilab.cli("audit", "verify")["intact"]


def test_a_damaged_backup_is_not_restored(past: Past, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.backup"
    shutil.copy(past.backup, damaged)
    with sqlite3.connect(damaged) as raw:
        raw.execute("UPDATE secrets SET revoked_at = NULL, label = 'put in'")
    raw.close()
    omnilab = Omnilab(tmp_path / "other")
    omnilab.directory.mkdir()
    assert omnilab.cli("db", "restore", str(damaged), expect=1)["error"]["code"] == "backup_damaged"
    (tmp_path / "nothing.backup").write_bytes(b"no database at all")
    for name in ("nothing.backup", "missing.backup"):
        assert omnilab.cli("db", "restore", str(tmp_path / name), expect=1)["error"]["code"] == "file_not_read"


def test_a_backup_is_its_owners_and_names_no_key(past: Past) -> None:
    assert past.backup.stat().st_mode & 0o077 == 0
    content = past.backup.read_bytes()
    assert (past.omnilab.directory / ".omnilab/master.key").read_bytes().strip() not in content
    for client in past.clients:
        assert client.client_secret.encode()[9:] not in content
    again = past.omnilab.cli("db", "backup", str(past.backup), expect=1)
    assert again["error"]["code"] == "file_exists"
