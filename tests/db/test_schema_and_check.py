"""`omnilab db upgrade|downgrade|status|check`: the schema both ways on both engines, and damage is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import Credentials, Omnilab, booking_row, databases


@pytest.fixture(params=databases.ENGINES)
def omnilab(request: pytest.FixtureRequest, tmp_path: Path) -> Omnilab:
    """Settings without a database yet."""
    if request.param == "sqlite":
        return Omnilab(tmp_path)
    return Omnilab(tmp_path, database_url=databases.cluster().create_database())


def catalogue(omnilab: Omnilab) -> list[tuple[object, ...]]:
    """Every column and index that there is, by name."""
    url = omnilab.settings.get("database_url", "")
    if not url:
        return omnilab.rows("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    indexes = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    name = url.rpartition("/")[2]
    return [tuple(row) for sql in (columns, indexes) for row in databases.cluster().sql(name, f"{sql} ORDER BY 1, 2")]


def test_up_down_and_up_again_is_the_same_schema(omnilab: Omnilab) -> None:
    with omnilab.command_line() as cli:
        first = cli.run("db", "upgrade")
        assert (first["from"], first["to"]) == (None, "0009")
        made = catalogue(omnilab)
        assert cli.run("db", "upgrade") == {"from": "0009", "to": "0009"}
        assert cli.run("db", "downgrade", "--to", "0001", expect=1)["error"]["code"] == "confirmation_missing"
        assert cli.run("db", "downgrade", "--to", "0001", "--yes") == {"from": "0009", "to": "0001"}
        status = cli.run("db", "status")
        assert (status["revision"], status["pending"][0], status["pending"][-1]) == ("0001", "0002", "0009")
        assert catalogue(omnilab) != made
        assert cli.run("db", "upgrade", "--to", "0005")["to"] == "0005"
        assert cli.run("db", "upgrade", "--to", "0999", expect=1)["error"]["code"] == "revision_unknown"
        assert cli.run("db", "upgrade")["to"] == "0009"
        assert catalogue(omnilab) == made


def test_rows_survive_the_way_down_and_up(omnilab: Omnilab) -> None:
    omnilab.cli("init")
    with omnilab.command_line() as cli:
        cli.run("seed", "--tenants", "2", "--clients", "4", "--bookings", "500")
        before = cli.run("db", "check")
        assert before["intact"], before
        records = cli.run("audit", "verify")["records"]
        cli.run("db", "downgrade", "--to", "0005", "--yes")
        assert cli.run("clients", "list", expect=1)["error"]["code"] == "not_initialised"
        cli.run("db", "upgrade")
        assert cli.run("db", "check")["intact"]
        assert len(cli.run("clients", "list")["clients"]) == 4
        assert cli.run("audit", "verify")["records"] >= records
        assert cli.run("audit", "verify")["intact"]


DAMAGE = {
    "places_differ": "UPDATE slots SET places_taken = places_taken + 1",
    "booking_without_slot": "DELETE FROM slots",
    "client_without_tenant": "DELETE FROM tenants WHERE tenant = 'acme'",
    "client_without_directory": "DELETE FROM client_directory",
    "secret_without_client": "DELETE FROM clients",
    "grant_without_client": "DELETE FROM clients",
    "sealed_key": "UPDATE signing_keys SET sealed_private_key = zeroblob(200)",
    "schema": "DROP INDEX bookings_by_id",
}


@pytest.mark.parametrize("check", DAMAGE)
def test_planted_damage_is_named_with_what_to_do(
    check: str, provisioned: tuple[Omnilab, Credentials], tmp_path: Path
) -> None:
    omnilab = provisioned[0].copied_to(tmp_path)
    databases.run_sql(tmp_path / ".omnilab/omnilab.db", DAMAGE[check])
    found = omnilab.cli("db", "check", expect=1)
    assert found["intact"] is False
    named = {each["check"]: each for each in found["findings"]}
    assert check in named
    assert named[check]["what"]
    assert named[check]["fix"].endswith(".")


# As many at once as do not hide each other.
DAMAGE_ON_POSTGRESQL = (
    ("places_differ", "client_without_tenant", "client_without_directory", "sealed_key", "schema"),
    ("booking_without_slot", "secret_without_client", "grant_without_client"),
)


@pytest.mark.parametrize("checks", DAMAGE_ON_POSTGRESQL, ids=lambda checks: checks[0])
def test_planted_damage_is_named_on_postgresql_too(checks: tuple[str, ...], tmp_path: Path) -> None:
    omnilab = Omnilab(tmp_path, database_url=databases.cluster().create_database()).init()
    omnilab.create_tenant("acme")
    omnilab.create_client("acme")
    omnilab.import_bookings("acme", [booking_row(number) for number in (1, 2, 3)])
    assert omnilab.cli("db", "check")["intact"]
    rows = omnilab.cli("db", "status")["rows"]
    assert (rows["bookings"], rows["clients"]) == (3, 1)  # nothing was analysed yet: counted
    name = omnilab.settings["database_url"].rpartition("/")[2]
    for check in checks:
        sql = DAMAGE[check].replace("zeroblob(200)", "decode(repeat('00', 200), 'hex')")
        databases.cluster().sql(name, sql)
    found = omnilab.cli("db", "check", expect=1)
    assert set(checks) <= {each["check"] for each in found["findings"]}


def test_a_damaged_file_is_named(provisioned: tuple[Omnilab, Credentials], tmp_path: Path) -> None:
    omnilab = provisioned[0].copied_to(tmp_path)
    path = tmp_path / ".omnilab/omnilab.db"
    [(page,)] = databases.run_sql(path, "SELECT rootpage FROM sqlite_master WHERE name = 'bookings_by_id'")
    databases.run_sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 + 2000 : page * 4096] = bytes(4096 - 2000)
    path.write_bytes(content)
    done = omnilab.run("db", "check", "--json")
    assert done.returncode in (1, 3)
    assert "integrity" in done.stdout or "unavailable" in done.stdout
