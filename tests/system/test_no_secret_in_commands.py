"""Secrets as arguments, in files and in settings of commands: none comes back in what they print, keep or write.

The one-time display of a new secret is the only exception.
"""

from __future__ import annotations

import base64
import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.harness import Credentials, Omnilab, booking_row
from tests.system.hunting import Hunt, files_under, random_part
from tests.system.keys_at_rest import keys_of

LEGACY_SECRET = "Qm4xT9bWe7Ly2KdVp8Rz5Nhc"
# Each line is one command with its settings. One process: loading Python for each would take a second.
_MAIN = """
import json, os, sys
from omnilab.cli.main import main
before = dict(os.environ)
for line in sys.stdin:
    words, settings = json.loads(line)
    os.environ.clear()
    os.environ.update(before | settings)
    sys.argv = ["omnilab", *words]
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    sys.stderr.flush()
    print("\\0", code, flush=True)
"""
Command = tuple[list[str], Mapping[str, str]]


@dataclass
class Desk:
    """An installation and what its commands have said: output and exit code of each."""

    omnilab: Omnilab
    client: Credentials
    hunt: Hunt
    token: str
    said: list[tuple[Command, str, int]] = field(default_factory=list)

    def run_all(self, commands: Iterator[Command]) -> None:
        asked = list(commands)
        done = subprocess.run(
            [sys.executable, "-c", _MAIN],
            input="".join(json.dumps(command) + "\n" for command in asked),
            cwd=self.omnilab.directory,
            env=self.omnilab.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=110,
            check=True,
        )
        *answers, rest = done.stdout.split("\0 ")
        codes = [part.partition("\n")[0] for part in (*answers[1:], rest)]
        texts = [answers[0], *(part.partition("\n")[2] for part in answers[1:])]
        assert len(texts) == len(asked), done.stdout[-2000:]
        self.said += [(command, text, int(code)) for command, text, code in zip(asked, texts, codes, strict=True)]

    def outputs(self) -> dict[str, bytes]:
        """By number and the first words, which are no secrets."""
        return {
            f"{number} {' '.join(words[:2])[:30]}": text.encode()
            for number, ((words, _), text, _) in enumerate(self.said)
        }


@pytest.fixture(scope="module")
def desk(provisioned: tuple[Omnilab, Credentials], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    template, client = provisioned
    omnilab = template.copied_to(tmp_path_factory.mktemp("desk"))
    key_file = omnilab.directory / ".omnilab" / "master.key"
    omnilab.settings |= {"master_key": key_file.read_text().strip(), "log_level": "debug"}
    key_file.unlink()
    with omnilab.serve() as server:
        token = server.token(client)
    desk = Desk(omnilab, client, Hunt(), token)
    desk.hunt.add("client secret", random_part(client.client_secret))
    desk.hunt.add("legacy secret", LEGACY_SECRET)
    desk.hunt.add_token("token", token)
    for name, key in keys_of(omnilab.directory / ".omnilab" / "omnilab.db", omnilab.settings["master_key"]):
        desk.hunt.add_bytes(name, key)
    desk.run_all(_every_command(desk))
    desk.run_all(_with_settings(desk))
    desk.run_all(_with_files(desk, tmp_path_factory.mktemp("given")))
    desk.run_all(_what_is_kept(desk))
    return desk


def _argument_lists(value: str, client_id: str) -> Iterator[list[str]]:
    """The value wherever a command takes a word, and where it takes none."""
    yield from ([value], ["--" + value], ["clients", value], ["clients", "show", value], ["clients", "disable", value])
    yield from (["clients", "show", client_id, "--" + value], ["clients", "list", "--tenant", value])
    yield from (["--operator", value, "tenants", "create", "one-more", "--name", "x"], ["serve", "--port", value])
    yield from (["secrets", "add", client_id, *more] for more in (["--label", value], ["--expires-in", value]))
    yield from (["secrets", "revoke", client_id, value], ["secrets", "list", value], ["secrets", "add", value])
    yield from (["tenants", "create", value, "--name", "x"], ["tenants", "show", value], ["tenants", "suspend", value])
    yield from (
        ["tenants", "create", "another", "--name", value],
        ["tenants", "update", "acme", "--token-quota", value],
    )
    for option in (
        "--name",
        "--partner",
        "--audience",
        "--allow",
        "--technical-contact",
        "--token-quota",
        "--api-quota",
    ):
        yield ["clients", "create", "--tenant", "acme", "--name", "x", option, value]
    yield from (["clients", "create", "--tenant", value, "--name", "x"], ["clients", "disable", "--partner", value])
    yield from (["grants", "allow", client_id, value], ["grants", "allow", value, "bookings:read"])
    yield from (["entitlements", "allow", "acme", value], ["entitlements", "list", value])
    yield from (["audiences", "create", "--tenant", "acme", value], ["audiences", "list", "--tenant", value])
    yield from (["audit", "show", value], ["audit", "list", "--since", value], ["audit", "explain", "--tenant", value])
    yield from (["audit", "list", "--client", value], ["audit", "list", "--outcome", value], ["keys", "rotate", value])
    yield from (["bookings", "list", "--tenant", "acme", "--external-id", value],)
    yield from (
        ["bookings", "import", value, "--tenant", "acme"],
        ["clients", "import", value],
        ["seed", "--tenants", value],
    )


def _every_command(desk: Desk) -> Iterator[Command]:
    secret = desk.client.client_secret
    values = {
        secret: [], desk.token: ["--json"], base64.b64encode(secret.encode()).decode(): [], secret[:-3]: ["--json"],
    }  # fmt: skip
    for number, (value, flags) in enumerate(values.items()):
        for position, words in enumerate(_argument_lists(value, desk.client.client_id)):
            if number < 2 or position % 3 == number % 3:
                yield [*words, *flags], {"OMNILAB_LOG_LEVEL": "debug"}


def _with_settings(desk: Desk) -> Iterator[Command]:
    secret, key = desk.client.client_secret, desk.omnilab.settings["master_key"]
    settings = (
        {"OMNILAB_MASTER_KEY": key[:-6]}, {"OMNILAB_MASTER_KEY": key + key}, {"OMNILAB_MASTER_KEY": key[::-1]},
        {"OMNILAB_MASTER_KEY_FILE": secret}, {"OMNILAB_MASTER_KEY": "", "OMNILAB_MASTER_KEY_FILE": key},
        {"OMNILAB_DATABASE_URL": f"postgresql://omnilab:{secret}@127.0.0.1:1/omnilab"},
        {"OMNILAB_DATABASE_URL": f"sqlite:///{secret}/omnilab.db"}, {"OMNILAB_DATABASE_URL": secret},
        {"OMNILAB_PUBLIC_URL": f"https://user:{secret}@id.example"}, {"OMNILAB_PUBLIC_URL": secret},
        {"OMNILAB_ENVIRONMENT": secret}, {"OMNILAB_LOG_LEVEL": secret}, {"OMNILAB_NO_SUCH_SETTING": secret},
        {"OMNILAB_TENANT_DOMAIN": secret}, {"OMNILAB_TRUSTED_PROXIES": secret}, {"OMNILAB_OPERATOR": secret},
        {f"OMNILAB_{secret.upper()}": "1"}, {"OMNILAB_DOCS_URL": f"https://x/?token={desk.token}"},
    )  # fmt: skip
    for changed in settings:
        yield ["tenants", "list", "--json"], changed
        yield ["tenants", "update", "acme", "--name", "Acme"], changed
    (desk.omnilab.directory / "omnilab.toml").write_text(f'master_key = "{secret}\nno_setting = "{secret}"\n')
    yield ["tenants", "list"], {}


def _with_files(desk: Desk, given: Path) -> Iterator[Command]:
    """Rows with the secret in a wrong column, or that cannot be read at all. The files themselves lie elsewhere."""
    (desk.omnilab.directory / "omnilab.toml").unlink()
    secret = desk.client.client_secret
    right = {
        "tenant": "acme", "client_id": "old-1", "client_secret": LEGACY_SECRET, "audience": "",
        "allowed": "bookings:read", "legacy_expires_at": "2099-01-01T00:00:00Z",
    }  # fmt: skip
    rows = [right | {name: value} for name in right for value in (secret, desk.token, LEGACY_SECRET)]
    rows += [right | {secret: "x"}, right | {"note": secret}, right | {"client_id": f"old-{LEGACY_SECRET}"}]
    lines = [json.dumps(row) for row in rows] + [f'{{"client_secret": "{secret}', f'["{LEGACY_SECRET}"]', LEGACY_SECRET]
    (given / "clients.jsonl").write_text("\n".join(lines))
    with (given / "clients.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([list(right), *(list(row.values()) for row in rows[:18])])
        writer.writerows(
            [["acme", "old-2", LEGACY_SECRET], ["acme", "old-3", secret, "", "", "", "", LEGACY_SECRET, "x"]]
        )
    yield from _booking_files(desk, given)
    yield ["clients", "import", str(given / "clients.jsonl")], {}
    yield ["clients", "import", str(given / "clients.csv"), "--json"], {}
    (given / "names.csv").write_text(f"tenant,client_id,{secret}\nacme,old-4,{secret}\n")
    yield ["clients", "import", str(given / "names.csv")], {}


def _booking_files(desk: Desk, given: Path) -> Iterator[Command]:
    secret = desk.client.client_secret
    names = [name for name in booking_row() if name != "slot_capacity"]
    rows = [
        booking_row(number, **{name: value}) for number, name in enumerate(names, 100) for value in (secret, desk.token)
    ]
    lines = [json.dumps(row) for row in [*rows, booking_row(99, **{secret: 1})]] + [
        f'{{"booking_id": "{secret}',
        secret,
    ]
    (given / "bookings.jsonl").write_text("\n".join(lines))
    (given / "bookings.csv").write_text(f"booking_id,{secret}\nbkg_1,{secret}\n")
    for name in ("bookings.jsonl", "bookings.csv"):
        yield ["bookings", "import", str(given / name), "--tenant", "acme"], {}


def _what_is_kept(desk: Desk) -> Iterator[Command]:
    """All that commands tell of what is there, the audit of the commands before included."""
    yield ["clients", "list", "--json"], {}
    yield ["clients", "show", desk.client.client_id], {}
    yield ["secrets", "list", desk.client.client_id, "--json"], {}
    yield ["audit", "list", "--limit", "100000", "--json"], {}
    yield ["audit", "list", "--limit", "100000"], {}
    yield ["audit", "explain", "--tenant", "acme"], {}
    yield ["keys", "list", "--json"], {}
    yield ["bookings", "list", "--tenant", "acme", "--external-id", "contact-1"], {}


def test_no_command_had_a_defect(desk: Desk) -> None:
    wrong = [
        (words[:2], code) for (words, _), text, code in desk.said if code not in {0, 1, 2, 3} or "Traceback" in text
    ]
    assert wrong == []
    assert {code for _, _, code in desk.said} >= {0, 1, 2}


def test_nothing_in_what_commands_print(desk: Desk) -> None:
    desk.hunt.finds_nothing_in(desk.outputs())


def test_nothing_in_any_file_of_the_installation(desk: Desk) -> None:
    desk.hunt.finds_nothing_in(files_under(desk.omnilab.directory))


def test_nothing_in_the_reject_files(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    written = {path.name: path.read_bytes() for path in tmp_path_factory.getbasetemp().glob("given*/*.rejected.jsonl")}
    assert written.keys() == {
        "clients.jsonl.rejected.jsonl",
        "clients.csv.rejected.jsonl",
        "bookings.jsonl.rejected.jsonl",
    }
    desk.hunt.finds_nothing_in(written)


def test_a_server_that_cannot_start_says_no_secret_either(desk: Desk) -> None:
    for words in (["--host", desk.client.client_secret], ["--host", desk.token, "--json"]):
        done = desk.omnilab.run("serve", "--port", "1", *words)
        assert done.returncode in {1, 3}
        desk.hunt.finds_nothing_in({"output": (done.stdout + done.stderr).encode()})


def test_a_new_secret_is_shown_once_and_never_again(desk: Desk) -> None:
    added = desk.omnilab.cli("secrets", "add", desk.client.client_id, "--label", "second")
    desk.hunt.add("new secret", random_part(added["client_secret"]))
    desk.said.clear()
    desk.run_all(_what_is_kept(desk))
    assert added["secret_id"] in "".join(text for _, text, _ in desk.said)
    desk.hunt.finds_nothing_in(desk.outputs() | files_under(desk.omnilab.directory))
