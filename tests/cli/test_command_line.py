"""Every command's manners: help, `--json`, exit codes, and what goes to which output."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from omnilab.cli import entry, output
from omnilab.cli import main as door
from omnilab.errors import ConflictError, FieldError, ProvisioningError, UnavailableError
from tests.harness import Omnilab


def omnilab_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        door.main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that lead to it."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_group(door.root)))


def test_the_commands_of_the_platform_are_there() -> None:
    nouns = {path[0] for path in COMMANDS}
    assert nouns == {*door.NOUNS, *door.VERBS}
    for words in (
        "tenants create",
        "clients import",
        "secrets revoke",
        "keys rotate",
        "audit explain",
        "bookings import",
    ):
        assert tuple(words.split()) in COMMANDS


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_takes_json_and_who_asks_and_says_what_it_is(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    options = {option for param in command.params for option in param.opts}
    assert "--json" in options
    # An integrator's own calls change nothing of the installation's.
    assert (options & {"--operator", "--ticket"} == set()) == (path[0] in door.INTEGRATORS)
    assert command.help


# What only a server, a migration, a terminal or somebody's first log line needs.
HEAVY = (
    *("alembic", "awscrt", "httpx", "jinja2", "limits", "prometheus_client", "rich", "starlette", "structlog"),
    "uvloop",
    "sqlalchemy.dialects.postgresql",
)


def _loaded_by(*arguments: str, omnilab: Omnilab | None = None) -> tuple[str, set[str]]:
    """What a command prints, and the modules it has loaded when it ends."""
    place = {"cwd": omnilab.directory, "env": omnilab.environ()} if omnilab else {}
    code = (
        "import sys\nfrom omnilab.cli.main import main\n"
        f"try: main({list(arguments)})\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, **place)
    return done.stdout, set(done.stderr.splitlines()[-1].split())


def test_help_lists_everything_without_loading_the_houses() -> None:
    shown, loaded = _loaded_by("--help")
    assert not loaded & {"omnilab.installation", "omnilab.app", "asyncio", "sqlalchemy", "cryptography", *HEAVY}
    for name in (*door.NOUNS, *door.VERBS):
        assert name in shown


@pytest.mark.parametrize(
    ("words", "plain"),
    [
        ("serve", True),
        ("serve --host 127.0.0.1 --port 0 --workers 2 --json", True),
        ("serve --host ::1 --port 8080", True),
        ("serve --port 60000", False),
        ("serve --port -1", False),
        ("serve --port", False),
        ("serve --workers 0", False),
        ("serve --workers 60", False),
        ("serve --help", False),
        ("serve --jsn", False),
        ("serve now", False),
        ("--operator me serve", False),
        ("demo", False),
        ("", False),
    ],
)
def test_serving_plainly_asked_for_begins_at_once(words: str, plain: bool) -> None:
    assert entry.plain_serve(words.split()) is plain


def test_a_command_loads_nothing_that_it_does_not_need(omnilab: Omnilab) -> None:
    for command in (("tenants", "create", "acme", "--name", "Acme"), ("audit", "list"), ("tenants", "list", "--json")):
        shown, loaded = _loaded_by(*command, omnilab=omnilab)
        assert "acme" in shown
        assert "omnilab.installation" in loaded
        assert not loaded & {"omnilab.app", *HEAVY}


def test_a_noun_alone_shows_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert omnilab_main("tenants", "--help") == 0
    assert "suspend" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert omnilab_main("--version") == 0
    assert capsys.readouterr().out.startswith("omnilab ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tenant", "list"), "Did you mean 'tenants'"),
        (("tenants", "creat", "acme"), "Did you mean 'create'"),
        (("tenants", "create", "acme"), "--name"),
        (("tenants", "create", "acme", "--nam", "x"), "--nam"),
        (("serve", "--port", "70000"), "65535"),
        (("serve", "--workers", "0"), "workers"),
        (("seed", "--tenants", "none"), "--tenants"),
        (("tenants", "suspend"), "Missing argument"),
    ],
)
def test_wrong_usage_is_2_in_words_or_as_json(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert omnilab_main(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words.lower() in said.err.lower()
    assert omnilab_main(*arguments, "--json") == 2
    said = capsys.readouterr()
    assert said.err == ""
    error = json.loads(said.out)["error"]
    assert set(error) == {"code", "message"}
    assert error["code"] == "usage"


def test_json_behind_a_double_dash_is_no_flag() -> None:
    assert output.asked_for_json(["tenants", "list", "--json"])
    assert not output.asked_for_json(["tenants", "create", "--", "--json"])


@pytest.mark.parametrize(
    ("error", "code", "exit_code", "words"),
    [
        (ProvisioningError("tenant_exists", "There is such a tenant."), "tenant_exists", 1, "There is such a tenant."),
        (ConflictError("x_y", "No.", errors=[FieldError("name", "too long")]), "x_y", 1, "name: too long"),
        (UnavailableError("the disk is full"), "temporarily_unavailable", 3, "the disk is full"),
    ],
)
def test_an_error_becomes_words_and_an_exit_code(
    error: Exception, code: str, exit_code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for as_json in (False, True):
        with pytest.raises(typer.Exit) as ended, output.answering(as_json):
            raise error
        assert ended.value.exit_code == exit_code
        said = capsys.readouterr()
        if as_json:
            assert json.loads(said.out)["error"]["code"] == code
            assert words in json.loads(said.out)["error"]["message"]
            assert said.err == ""
        else:
            assert said.out == ""
            assert words in said.err


def test_a_defect_is_unavailable_and_its_trace_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "omni_dev_" + "aB3" * 16
    with pytest.raises(typer.Exit) as ended, output.answering(True):
        raise ValueError(f"what to do with {secret}")
    assert ended.value.exit_code == 3
    said = capsys.readouterr()
    assert "ValueError" in said.err
    assert "aB3aB3aB3" not in said.err + said.out


def test_tables_and_descriptions_are_for_searching() -> None:
    shown = output.table(("name", "since"), [("a", None), ("bb", ["x", "y"]), ("ccc", True)])
    assert shown.splitlines() == ["NAME  SINCE", "a     –", "bb    x, y", "ccc   yes"]
    assert output.table(("name",), [], empty="None.") == "None."
    assert output.describe({"a": 1, "long": {"b": False}}) == "a     1\nlong  b no"


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("Working", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")


def test_a_closed_pipe_is_no_traceback(omnilab: Omnilab) -> None:
    command = [sys.executable, "-m", "omnilab.cli.main", "keys", "list", "--json"]
    process = subprocess.Popen(
        command, cwd=omnilab.directory, env=omnilab.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait()


class TestInstallation:
    """What commands say where something is missing or wrong."""

    def test_without_init_every_command_names_it_and_leaves_nothing(self, tmp_path: Path) -> None:
        omnilab = Omnilab(tmp_path)
        for arguments in (("tenants", "list"), ("serve", "--port", str(omnilab.port)), ("seed",)):
            error = omnilab.cli(*arguments, expect=1)["error"]
            assert error["code"] == "not_initialised"
            assert "omnilab init" in error["message"]
        key = "00" * 32
        assert omnilab.cli("tenants", "list", expect=1, master_key=key)["error"]["code"] == "not_initialised"
        assert list(tmp_path.iterdir()) == []

    def test_init_can_be_repeated_and_keeps_its_environment(self, tmp_path: Path) -> None:
        omnilab = Omnilab(tmp_path)
        first = omnilab.cli("init")
        assert first["environment"] == "development"
        assert first["issuer"] == omnilab.url
        assert len(first["made"]) > 3
        assert (tmp_path / ".omnilab/master.key").stat().st_mode & 0o777 == 0o600
        assert omnilab.cli("init")["made"] == []
        other = {"environment": "staging", "public_url": "https://x.example.com"}
        key = (tmp_path / ".omnilab/master.key").read_text().strip()
        error = omnilab.cli("init", expect=1, master_key=key, **other)["error"]
        assert error["code"] == "environment_mismatch"
        assert omnilab.cli("tenants", "list", expect=1, master_key=key, **other)["error"]["code"] == error["code"]

    def test_two_inits_at_once_make_one_installation(self, tmp_path: Path) -> None:
        omnilab = Omnilab(tmp_path)
        command = [sys.executable, "-m", "omnilab.cli.main", "init", "--json"]
        racing = [
            subprocess.Popen(command, cwd=tmp_path, env=omnilab.environ(), stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        outputs = [each.communicate(timeout=60)[0] for each in racing]
        assert [each.returncode for each in racing] == [0, 0], outputs
        assert len(omnilab.cli("keys", "list")["keys"]) == 6
        assert omnilab.cli("init")["made"] == []

    def test_another_master_key_is_refused_in_words(self, omnilab: Omnilab) -> None:
        error = omnilab.cli("tenants", "list", expect=1, master_key="00" * 32)["error"]
        assert error["code"] == "master_key_wrong"

    def test_bad_settings_are_all_named(self, tmp_path: Path) -> None:
        error = Omnilab(tmp_path, log_level="loud", tenant_domian="x").cli("tenants", "list", expect=1)["error"]
        assert error["code"] == "settings_invalid"
        assert "OMNILAB_LOG_LEVEL" in error["message"]
        assert "OMNILAB_TENANT_DOMIAN" in error["message"]

    def test_a_database_that_cannot_be_opened_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "omnilab.db").mkdir()
        omnilab = Omnilab(tmp_path, database_url="sqlite:///omnilab.db", master_key="00" * 32)
        assert omnilab.cli("tenants", "list", expect=3)["error"]["code"] == "temporarily_unavailable"

    def test_staging_without_key_or_https_is_refused_in_words(self, tmp_path: Path) -> None:
        omnilab = Omnilab(tmp_path, environment="staging")
        for arguments in (("init",), ("serve", "--port", str(omnilab.port))):
            done = omnilab.run(*arguments)
            assert done.returncode == 1
            assert "OMNILAB_MASTER_KEY" in done.stderr
            assert "https://" in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_production_wants_operator_and_ticket_for_changes(self, tmp_path: Path) -> None:
        settings = {"environment": "production", "public_url": "https://x.example.com", "master_key": "ab" * 32}
        omnilab = Omnilab(tmp_path, **settings)
        assert omnilab.cli("init", expect=1)["error"]["code"] == "operator_required"
        assert omnilab.cli("init", "--operator", "jane", expect=1)["error"]["code"] == "ticket_required"
        omnilab.cli("init", "--operator", "jane", "--ticket", "OPS-1")
        create = ("tenants", "create", "acme", "--name", "Acme")
        assert omnilab.cli(*create, expect=1)["error"]["code"] == "operator_required"
        assert omnilab.cli("tenants", "list") == {"tenants": []}
        token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
        error = omnilab.cli(*create, "--operator", "jane", "--ticket", token, expect=1)["error"]
        assert error["code"] == "ticket_invalid"
        assert token[:20] not in error["message"]
        omnilab.cli("--operator", "jane", *create, ticket="OPS-2")
        [record] = omnilab.cli("audit", "list", "--tenant", "acme")["records"]
        assert record["actor"]["operator"] == "jane"
        assert record["actor"]["ticket"] == "OPS-2"
        assert record["actor"]["os_user"]
        assert record["actor"]["host"]
