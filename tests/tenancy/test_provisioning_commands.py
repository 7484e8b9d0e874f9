"""Provisioning as an operator does it: through the `omnilab` command, for programs and for people."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from omnilab.cli.main import main
from tests.harness import Omnilab


class Shop(Omnilab):
    """Runs the command's own `main` in this process: a process a command would cost most of the time."""

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.chdir(self.directory),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.dict("os.environ", self.environ(settings), clear=True),
            pytest.raises(SystemExit) as ended,
        ):
            main(arguments)
        return subprocess.CompletedProcess(arguments, int(str(ended.value.code)), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Omnilab:
    """One installation for all stories; each makes a tenant of its own."""
    return Shop(tmp_path_factory.mktemp("shop")).init()


def make(shop: Omnilab, tenant: str, *options: str) -> str:
    shop.cli("tenants", "create", tenant, "--name", tenant)
    allow = ("--allow", "bookings:read")
    return str(shop.cli("clients", "create", "--tenant", tenant, "--name", "Backend", *allow, *options)["client_id"])


def test_tenants(shop: Omnilab) -> None:
    shop.cli("tenants", "create", "tenants", "--name", "T", "--token-quota", "600/minute", "--api-quota", "9/second")
    assert "tenants" in [each["tenant"] for each in shop.cli("tenants", "list")["tenants"]]
    assert shop.cli("tenants", "show", "tenants")["token_quota"] == "600/minute"
    updated = shop.cli("tenants", "update", "tenants", "--token-quota", "default")
    assert (updated["token_quota"], updated["api_quota"]) == (None, "9/second")
    assert shop.cli("tenants", "suspend", "tenants")["status"] == "suspended"
    assert shop.run("tenants", "suspend", "tenants").stdout == "The tenant tenants is already suspended.\n"
    assert shop.cli("tenants", "restore", "tenants")["changed"] is True
    assert "entitlements  bookings:cancel, bookings:read" in shop.run("tenants", "show", "tenants").stdout
    assert "TENANT" in shop.run("tenants", "list").stdout
    refusal = shop.cli("tenants", "create", "tenants", "--name", "T", expect=1)
    assert refusal["error"]["code"] == "tenant_exists"


def test_rights(shop: Omnilab) -> None:
    client_id = make(shop, "rights")
    shop.cli("entitlements", "allow", "rights", "bookings:create")
    listed = shop.cli("entitlements", "list", "rights")["entitlements"]
    assert [each["endpoint"] for each in listed] == ["bookings:cancel", "bookings:create", "bookings:read"]
    granted = shop.cli("grants", "allow", client_id, "bookings:create", "bookings:cancel")
    assert granted["allowed"] == ["bookings:cancel", "bookings:create", "bookings:read"]
    told = shop.run("grants", "withdraw", client_id, "bookings:create", "bookings:nope").stdout
    assert told == f"{client_id}: withdrawn bookings:create.\nWas not allowed: bookings:nope.\n"
    grants = shop.cli("grants", "list", client_id)["grants"]
    assert [each["endpoint"] for each in grants] == ["bookings:cancel", "bookings:read"]
    assert shop.cli("entitlements", "withdraw", "rights", "bookings:cancel")["changed"] == ["bookings:cancel"]
    assert "no" in shop.run("grants", "list", client_id).stdout.splitlines()[1].split()
    assert "bookings:read" in shop.run("entitlements", "list", "rights").stdout


def test_audiences(shop: Omnilab) -> None:
    client_id = make(shop, "audiences")
    uri = "https://orders.example"
    create = ("audiences", "create", "--tenant", "audiences", uri, "--alg", "EdDSA", "--endpoint", "orders:read")
    assert shop.cli(*create)["algorithm"] == "EdDSA"
    updated = shop.cli("audiences", "update", "--tenant", "audiences", uri, "--lifetime-seconds", "60")
    assert (updated["lifetime_seconds"], updated["endpoints"]) == (60, ["orders:read"])
    assert len(shop.cli("audiences", "list", "--tenant", "audiences")["audiences"]) == 2
    assert uri in shop.run("audiences", "list", "--tenant", "audiences").stdout
    default = "urn:omnilab:development:audiences"
    moved = shop.cli("clients", "update", client_id, "--audience", uri, "--audience", default)
    assert moved["audiences"] == [uri, default]


def test_secrets(shop: Omnilab) -> None:
    client_id = make(shop, "secrets")
    added = shop.cli("secrets", "add", client_id, "--label", "blue", "--expires-in", "90d")
    assert set(added) == {"client_id", "secret_id", "client_secret"}
    listed = shop.cli("secrets", "list", client_id)["secrets"]
    assert [each["label"] for each in listed] == [None, "blue"]
    assert added["client_secret"] not in json.dumps(listed)
    assert shop.cli("secrets", "revoke", client_id, added["secret_id"])["status"] == "revoked"
    told = shop.run("secrets", "revoke", client_id, added["secret_id"]).stdout
    assert told == f"The secret {added['secret_id']} is already revoked.\n"
    assert "USE_COUNT" in shop.run("secrets", "list", client_id).stdout
    assert shop.cli("secrets", "add", client_id, "--expires-in", "90", expect=2)["error"]["code"] == "usage"
    assert "shown this once" in shop.run("secrets", "add", client_id).stdout


def test_clients(shop: Omnilab) -> None:
    client_id = make(shop, "clients", "--technical-contact", "dev@acme.example", "--partner", "Kiosk Ltd")
    shown = shop.cli("clients", "show", client_id)
    assert (shown["technical_contact"], shown["partner"]) == ("dev@acme.example", "Kiosk Ltd")
    assert shown["issuer"] == shop.url
    assert [each["client_id"] for each in shop.cli("clients", "list", "--tenant", "clients")["clients"]] == [client_id]
    assert client_id in shop.run("clients", "list", "--partner", "Kiosk Ltd").stdout
    assert shop.cli("clients", "disable", client_id)["changed"] is True
    assert shop.run("clients", "enable", client_id).stdout == f"The client {client_id} is active.\n"
    done = shop.cli("clients", "disable", "--partner", "Kiosk Ltd")["clients"]
    assert [(each["client_id"], each["status"], each["changed"]) for each in done] == [(client_id, "disabled", True)]
    told = shop.run("clients", "disable", client_id).stdout
    assert told == f"The client {client_id} of clients is already disabled.\n"
    for wrong in (["clients", "disable"], ["clients", "disable", client_id, "--partner", "Kiosk Ltd"]):
        assert shop.cli(*wrong, expect=2)["error"]["code"] == "usage"
    assert shop.cli("clients", "show", "cli_none", expect=1)["error"]["code"] == "client_unknown"


def test_import(shop: Omnilab) -> None:
    shop.cli("tenants", "create", "import", "--name", "I")
    file = shop.directory / "legacy.csv"
    file.write_text(
        "tenant,client_id,client_secret,audience,allowed,legacy_expires_at\n"
        "import,old-1,first-Secret,,bookings:read,2099-01-01\n"
        "nobody,old-2,other-Secret,,bookings:read,2099-01-01\n"
    )
    done = shop.cli("clients", "import", str(file), expect=1)
    assert (done["imported"], done["rejected"]) == (1, 1)
    rejects = Path(done["rejected_file"]).read_text()
    assert json.loads(rejects)["line"] == 3
    assert "other-Secret" not in rejects
    again = shop.run("clients", "import", str(file))
    assert again.returncode == 1
    assert "existing       1" in again.stdout


def test_a_rotation_by_command(shop: Omnilab) -> None:
    client_id = make(shop, "turning", "--technical-contact", "ops@turning.example")
    rotated = shop.cli("secrets", "rotate", client_id, "--overlap", "3d", "--expires-in", "20d")
    assert list(rotated) == ["client_id", "secret_id", "client_secret"]
    link = shop.cli("secrets", "rotate", client_id, "--hand-off")
    assert list(link) == ["client_id", "hand_off_id", "hand_off_url", "hand_off_expires_at"]
    assert re.fullmatch(rf"{shop.url}/hand-off/hof_\w+#\w{{43}}", link["hand_off_url"])
    assert len(shop.cli("secrets", "list", client_id)["secrets"]) == 2
    assert link["hand_off_id"][4:] not in shop.run("secrets", "list", client_id).stdout
    shop.cli("secrets", "rotate", client_id, "--overlap", "three days", expect=2)
    (expiring,) = shop.cli("secrets", "expiring")["secrets"]
    assert (expiring["secret_id"], expiring["days_left"]) == (rotated["secret_id"], 20)
    assert "to ops@turning.example" in shop.run("secrets", "expiring", "--within", "21d").stdout
    cleared = shop.cli("secrets", "clear-exposed", client_id, rotated["secret_id"], "--reason", "never was")
    assert cleared["changed"] is False
    done = shop.cli("secrets", "compromised", client_id, rotated["secret_id"], "--since", "1h")
    assert (done["changed"], done["calls"], done["technical_contact"]) == (True, [], "ops@turning.example")
    told = shop.run("secrets", "compromised", client_id, rotated["secret_id"]).stdout
    assert "works once" in told
    assert rotated["client_secret"] not in told
    shop.cli("secrets", "compromised", client_id, rotated["secret_id"], "--since", "yesterday", expect=2)
    assert shop.cli("secrets", "expiring")["secrets"] == []


def test_a_client_is_made_with_a_link_and_address_lists(shop: Omnilab) -> None:
    shop.cli("tenants", "create", "fenced", "--name", "Fenced")
    words = ("clients", "create", "--tenant", "fenced", "--name", "x", "--allow-token-address")
    made = shop.cli(*words, "203.0.113.0/24", "--allow-token-address", "2001:db8::/48", "--hand-off")
    assert "client_secret" not in made
    assert made["hand_off_url"].startswith(f"{shop.url}/hand-off/hof_")
    client_id = made["client_id"]
    shown = shop.cli("clients", "show", client_id)
    assert (shown["token_addresses"], shown["api_addresses"]) == (["203.0.113.0/24", "2001:db8::/48"], None)
    update = ("clients", "update", client_id)
    shown = shop.cli(*update, "--allow-token-address", "any", "--allow-api-address", "198.51.100.7")
    assert (shown["token_addresses"], shown["api_addresses"]) == (None, ["198.51.100.7/32"])
    refusal = shop.cli(*update, "--allow-api-address", "203.0.113.1/24", expect=1)["error"]
    assert refusal["code"] == "address_invalid"


def test_keys_are_revoked_in_an_emergency_only(shop: Omnilab) -> None:
    shop.cli("keys", "rotate", "--revoke-old", expect=2)
    shown = shop.cli("keys", "rotate", "--now", "--revoke-old")["keys"]
    assert sorted({key["status"] for key in shown}) == ["current", "next", "revoked"]
    assert set(shop.cli("keys", "reseal")["resealed"].values()) == {0}
    assert "0 were left" in shop.run("keys", "reseal").stdout
