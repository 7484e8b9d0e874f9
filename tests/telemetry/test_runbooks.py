"""Runbooks: one form, commands that exist with these options, metrics, settings and alerts that there are."""

from __future__ import annotations

import re
import shlex
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from omnilab.cli.main import root
from omnilab.codes import CODES
from omnilab.settings.tree import KNOWN, OTHERS_NAMES, PREFIX
from omnilab.telemetry.metric_names import BUILD_INFO, FIGURES, REFUSALS, REQUEST_SECONDS, REQUESTS
from tests.harness import Credentials, Omnilab

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
OTHERS = ("deploy/README.md", "deploy/observability/README.md", "docs/scaling.md", "docs/faults.md")
ALL = [FOLDER / "README.md", *PAGES, *(ROOT / name for name in OTHERS)]
FORM = ["What you see", "What it means for callers", "First look", "Mend", "Afterwards", "How this was tried"]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(omnilab [^`]+)`")
METRICS = {metric.name for metric in (REQUESTS, REQUEST_SECONDS, REFUSALS, BUILD_INFO, *FIGURES)}
ALERTS = {
    rule["alert"]
    for group in yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
}
SETTINGS = {PREFIX + name.upper() for name in KNOWN} | OTHERS_NAMES


def parse(words: list[str], *, whole: bool) -> None:
    """Read a command line as the program does, and run nothing. Raises where it would end with 2.

    whole: also where an argument is missing.
    """
    command: Any = typer.main.get_group(root)
    context = command.make_context("omnilab", list(words), resilient_parsing=not whole)
    while hasattr(command, "resolve_command") and (rest := [*context._protected_args, *context.args]):
        name, command, rest = command.resolve_command(context, rest)
        assert command is not None, f"no command {name}"
        context = command.make_context(name, rest, parent=context, resilient_parsing=not whole)


def commands_in(page: Path) -> list[list[str]]:
    """The `omnilab` command lines of a page's shell blocks, each without what is put before it and piped after it."""
    found = []
    for kind, text in FENCE.findall(page.read_text()):
        for line in text.replace("\\\n", " ").splitlines() if kind == "sh" else []:
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words[:1] == ["omnilab"]:
                found.append(words[1:])
    return found


def mentions_in(page: Path) -> list[list[str]]:
    text = FENCE.sub("", page.read_text())
    return [shlex.split(each.replace("\n", " ").replace("…", ""))[1:] for each in INLINE.findall(text)]


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_every_command_is_one(page: Path) -> None:
    for words in commands_in(page):
        if "--help" not in words:
            parse(words, whole=True)
        parse([word for word in words if word != "--help"], whole=False)
    for words in mentions_in(page):
        parse(words, whole=False)


@pytest.mark.parametrize(
    "line",
    [
        "db statuss",
        "db reconcile --exports FILE",
        "audit retain",
        "secrets revoke CLIENT_ID",
        "audit list --limit many",
    ],
)
def test_a_command_that_is_none_is_noticed(line: str) -> None:
    with pytest.raises((typer.TyperException, typer.Exit, SystemExit)):
        parse(shlex.split(line), whole=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_form_commands_and_tests(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == FORM
    assert FENCE.findall(text)
    assert "tests/" in text.rpartition("## How this was tried")[2]
    assert f"]({page.name})" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_what_a_page_names_there_is(page: Path) -> None:
    text = page.read_text()
    metrics = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in re.findall(r"`(omnilab_[a-z_]+)`", text)}
    assert metrics - METRICS == set()
    assert set(re.findall(r"OMNILAB_[A-Z_]+[A-Z]", text)) - SETTINGS == set()
    assert set(re.findall(r"`(OmniLab[A-Z]\w+)`", text)) - ALERTS == set()
    codes = re.findall(r"(?:40[0-9]|50[0-9]|429) `(\w+)`|`(\w+)` is a wrong secret", text)
    assert {code for pair in codes for code in pair if code} - {*CODES, "not_ready"} == set()


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_log_events_a_page_searches_for_are_written(page: Path) -> None:
    written = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    text = page.read_text().partition("## How this was tried")[0]
    for name in re.findall(r"\b[a-z_]+_(?:failing|mended|away|back|replaced|crashed)\b", text):
        # The first two are put together from the name of what fails.
        assert name in written or f'Trouble("{name.rpartition("_")[0]}"' in written, name


def test_bookings_of_an_installation_without_its_master_key_are_taken_along(
    provisioned: tuple[Omnilab, Credentials], tmp_path: Path, initialised: Path
) -> None:
    omnilab = provisioned[0].copied_to(tmp_path / "old")
    with closing(sqlite3.connect(omnilab.directory / ".omnilab" / "omnilab.db")) as database, database:
        database.execute(
            "UPDATE bookings SET booking_status = 'CANCELLED', cancelled_at = 1767323045006, external_id = 'o''neil'"
            " WHERE booking_id = 'bkg_00000002'"
        )
        database.execute("UPDATE slots SET capacity = 5, places_taken = 0 WHERE slot_id = 'slt_2'")
    before = omnilab.rows("SELECT * FROM bookings ORDER BY booking_id"), omnilab.rows("SELECT * FROM slots")
    assert len(before[0]) == 3
    (omnilab.directory / ".omnilab" / "master.key").unlink()
    backup = tmp_path / "saved.omnilab"
    omnilab.cli("db", "backup", str(backup))

    [sql] = [text for kind, text in FENCE.findall((FOLDER / "lost-master-key.md").read_text()) if kind == "sql"]
    with closing(sqlite3.connect(f"file:{backup}?mode=ro", uri=True)) as saved:
        lines = [line for (line,) in saved.execute(sql.replace("TENANT", "acme"))]
    shutil.copytree(initialised, tmp_path / "new")
    new = Omnilab(tmp_path / "new")
    new.create_tenant("acme")
    (new.directory / "bookings.jsonl").write_text("\n".join(lines))
    assert new.cli("bookings", "import", "bookings.jsonl", "--tenant", "acme")["imported"] == 3
    after = new.rows("SELECT * FROM bookings ORDER BY booking_id"), new.rows("SELECT * FROM slots")
    assert [[row[1:] for row in rows] for rows in after] == [[row[1:] for row in rows] for rows in before]


def test_a_running_process_still_has_the_key_of_its_environment(omnilab: Omnilab) -> None:
    path = omnilab.directory / ".omnilab" / "master.key"
    key = path.read_text().strip()
    path.unlink()
    page = (FOLDER / "lost-master-key.md").read_text()
    [script] = [text for kind, text in FENCE.findall(page) if kind == "sh" and "environ" in text]
    with omnilab.serve(master_key=key) as server:
        own = script.replace("$(pgrep -o -f 'omnilab serve')", str(server.process.pid))
        subprocess.run(["sh", "-euc", own], cwd=omnilab.directory, check=True, timeout=30)
    found = omnilab.directory / "found.key"
    assert found.read_text().strip() == key
    assert found.stat().st_mode & 0o077 == 0
    assert omnilab.cli("audit", "verify", master_key_file=str(found))["intact"]
