"""`omnilab scan`: every planted secret is found, none is invented, none is printed."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilab.crypto.client_secret import new_client_secret
from omnilab.scan.search import search
from omnilab.scan.stream import StreamSearch
from omnilab.scan.tree import Scan
from tests.conftest import Served
from tests.harness import Omnilab
from tests.harness.installation import COMMAND
from tests.scan.planting import Planter, Repository, zipped

TREE_BYTES = 50 << 20


@pytest.fixture
def alone(tmp_path: Path) -> Omnilab:
    """A machine without an installation."""
    return Omnilab(tmp_path)


@pytest.fixture
def secret() -> str:
    return new_client_secret("production").reveal()


def test_every_planted_secret_is_found_and_none_invented(tmp_path: Path) -> None:
    planted = Planter(tmp_path / "tree").tree(TREE_BYTES)
    repository = Repository(tmp_path / "tree" / "repository")
    gone = Planter(tmp_path, seed=6).secret()
    repository.commit("settings.env", f"SECRET={gone}\n")
    repository.commit("settings.env", None)
    scanning = Scan()
    scanning.scan(tmp_path / "tree")
    report = scanning.report
    assert report.skipped == []
    found = {finding.hit.text: finding.place.path for finding in report.findings}
    assert found == planted.secrets | {gone: str(repository.folder / "settings.env")}
    assert len(report.findings) == len(planted.secrets) + 1
    assert report.read_bytes > TREE_BYTES


def test_the_command_names_the_place_and_never_the_secret(alone: Omnilab, secret: str) -> None:
    (alone.directory / "src").mkdir()
    (alone.directory / "src" / "ä.py").write_text(f"# ä\nx = 1; KEY = '{secret}'\n")
    (alone.directory / "src" / "clean.py").write_text("KEY = 'omni_prd_'\n")
    (alone.directory / "app.zip").write_bytes(zipped("logs/today.log", f"\n\n{secret}".encode()))
    found = alone.cli("scan", "src", "app.zip", "--sarif", "out.sarif", expect=1)
    places = [(each["path"], each["member"], each["line"], each["column"]) for each in found["findings"]]
    assert places == [("src/ä.py", None, 2, 15), ("app.zip", "logs/today.log", 3, 1)]
    assert {each["environment"] for each in found["findings"]} == {"production"}
    assert (found["secrets"], found["files"]) == (1, 3)
    words = alone.run("scan", "src", "app.zip")
    assert words.returncode == 1
    assert "src/ä.py:2:15" in words.stdout
    written = json.dumps(found) + words.stdout + words.stderr + (alone.directory / "out.sarif").read_text()
    assert secret not in written
    assert secret[13:30] not in written
    assert not (alone.directory / ".omnilab").exists()


def test_a_clean_tree_is_0_and_what_cannot_be_read_is_3(alone: Omnilab) -> None:
    (alone.directory / "a.txt").write_text("nothing")
    assert alone.cli("scan", "a.txt")["findings"] == []
    (alone.directory / "broken.gz").write_bytes(b"\x1f\x8b" + b"x" * 50)
    found = alone.cli("scan", ".", expect=3)
    assert [each["path"] for each in found["skipped"]] == ["broken.gz"]
    assert alone.cli("scan", "nowhere", expect=1)["error"]["code"] == "path_unknown"


def test_standard_input_is_a_path_too(alone: Omnilab, secret: str) -> None:
    done = subprocess.run(
        [COMMAND, "scan", "-", "--json"],
        input=f"log line {secret}\n",
        cwd=alone.directory,
        env=alone.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["findings"][0]["line"] == 1


def test_history_is_read_packed_loose_and_unreachable(alone: Omnilab) -> None:
    planter = Planter(alone.directory, seed=8)
    packed, loose, lost, said = (planter.secret() for _ in range(4))
    repository = Repository(alone.directory / "repository")
    first = repository.commit("a.env", f"KEY={packed}\n")
    repository.commit("a.env", None)
    repository.git("gc", "--quiet")
    repository.commit("b.env", f"KEY={loose}\n")
    repository.commit("b.env", None, message=f"Remove {said}")
    repository.commit("c.env", f"KEY={lost}\n")
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    found = alone.cli("scan", "repository", expect=1)
    assert found["secrets"] == 4
    assert found["git_objects"] > 8
    (the_packed,) = [each for each in found["findings"] if each["path"].endswith("a.env")]
    assert the_packed["commit"] == first
    assert alone.cli("scan", "repository", "--no-history", expect=1)["secrets"] >= 1  # the log of HEAD names one
    bare = alone.directory / "bare.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", "--no-local", str(repository.folder), str(bare)], check=True)
    assert alone.cli("scan", "bare.git", expect=1)["secrets"] == 3


def test_identify_names_the_owner(served: Served) -> None:
    leaked = served.omnilab.directory / "leaked.log"
    stranger = new_client_secret("development").reveal()
    leaked.write_text(f"{served.client.client_secret}\n{stranger}\n")
    found = served.omnilab.cli("scan", "leaked.log", "--identify", expect=1)["findings"]
    assert [each["secret_id"] for each in found] == [served.client.secret_id, None]
    assert (found[0]["tenant"], found[0]["client_id"]) == ("acme", served.client.client_id)
    assert found[0]["status"] == "live"


def test_sarif_has_what_2_1_0_requires(alone: Omnilab, secret: str) -> None:
    (alone.directory / "my file.txt").write_text(secret)
    (alone.directory / "broken.bz2").write_bytes(b"BZhxxx")
    alone.cli("scan", ".", "--sarif", "out.sarif", expect=1)
    log = json.loads((alone.directory / "out.sarif").read_text())
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"]
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"].startswith("broken.bz2")
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == rule["id"]
    assert result["level"] in {"none", "note", "warning", "error"}
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "my%20file.txt"}, "region": {"startLine": 1, "startColumn": 1}}
    assert re.fullmatch("[0-9a-f]{32}", result["partialFingerprints"]["omnilabSecret/v1"])


class Chunks:
    """A stream that gives bytes in pieces of its own size."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data, self.size = data, size

    def read(self, size: int, /) -> bytes:
        piece, self.data = self.data[: self.size], self.data[self.size :]
        return piece


@given(before=st.integers(0, 9000), after=st.integers(0, 5000), size=st.integers(1, 7000), wide=st.booleans())
def test_no_secret_is_lost_where_two_blocks_meet(before: int, after: int, size: int, wide: bool) -> None:
    text = Planter(Path(), seed=before).secret()
    piece = text.encode("utf-16-le") if wide else text.encode()
    data = b"ab\n" * (before // 3) + piece + b"\n" * after
    (placed,) = StreamSearch(Chunks(data, max(size, len(data) // 50 + 1))).hits()
    assert (placed.hit.text, placed.line) == (text, before // 3 + 1)


@given(st.binary(max_size=3000))
def test_any_bytes_can_be_searched(data: bytes) -> None:
    assert list(search(data + b"omni_prd_" + data)) == []


@given(before=st.binary(max_size=40), after=st.binary(max_size=40))
def test_base64_hides_nothing_whatever_stands_around_it(before: bytes, after: bytes) -> None:
    text = Planter(Path(), seed=len(before)).secret()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert text in {hit.text for hit in search(b'"' + encode(before + text.encode() + after) + b'"')}


def test_odd_files_are_no_trouble(tmp_path: Path, secret: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "empty.zip").write_bytes(zipped("x", b""))
    os.link(tmp_path / "empty", tmp_path / secret)
    scanning = Scan()
    scanning.scan(tmp_path)
    assert [(each.line, each.hit.text) for each in scanning.report.findings] == [(None, secret)]
    assert scanning.report.skipped == []
    shown: dict[str, Any] = scanning.report.document(0.0)
    assert secret not in json.dumps(shown)
