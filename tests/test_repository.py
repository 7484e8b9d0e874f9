"""What the documents and the set-up say about the repository is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
MAKEFILE = (ROOT / "Makefile").read_text()
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
EXTRAS_LOCKED = ("server", "postgres", "redis")


def name_of(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def pinned(lock: str) -> set[str]:
    text = (ROOT / "requirements" / lock).read_text()
    return {name.lower().replace("_", "-") for name in re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_named_in_the_documents_exist(page: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert {target for target in named if not re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_named_in_the_documents_exist(page: Path) -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text())
    assert [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


def test_every_target_says_what_it_does() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert targets
    assert [name for name in targets[1].split() if not re.search(rf"^{name}:.*## \w", MAKEFILE, re.MULTILINE)] == []


def test_every_decision_is_listed() -> None:
    decisions = ROOT / "docs" / "adr"
    index = (decisions / "README.md").read_text()
    assert [path.name for path in sorted(decisions.glob("0*.md")) if f"({path.name})" not in index] == []


def test_what_the_package_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(text for extra in EXTRAS_LOCKED for text in extras[extra])]
    runtime = {name_of(text) for text in asked}
    assert runtime - pinned("server.txt") == set()
    assert runtime | {name_of(text) for text in extras["dev"]} <= pinned("dev.txt")
    assert pinned("server.txt") <= pinned("dev.txt")


def test_locks_hold_hashes_and_no_addresses() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text
        assert "--find-links" not in text
        pins = re.findall(r"^\S+==\S+( \\)?$", text, re.MULTILINE)
        assert pins, f"{path.name} pins nothing"
        assert all(pins), f"{path.name} has a pin without a hash"
    assert '"resolved"' not in (ROOT / "tests/node/package-lock.json").read_text()
