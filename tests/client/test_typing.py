"""The SDK's types, as people's own type checkers see them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).with_name("typed_use.py")
ROOT = SAMPLE.parents[2]
PYRIGHT = ROOT / "tests/node/node_modules/pyright/index.js"


def wrong_lines() -> set[int]:
    lines = SAMPLE.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if "# wrong:" in line}


def test_mypy_understands_it_and_finds_what_is_wrong(tmp_path: Path) -> None:
    # As in an integrator's project: strict, none of our settings.
    words = ["--strict", "--no-incremental", "--config-file=", "--cache-dir", str(tmp_path), str(SAMPLE)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    found = {int(number) for number in re.findall(r"typed_use\.py:(\d+): error", done.stdout)}
    assert found == wrong_lines(), done.stdout + done.stderr


def test_pyright_understands_it_and_finds_what_is_wrong(tmp_path: Path) -> None:
    words = ["--outputjson", "--pythonpath", sys.executable, str(SAMPLE)]
    done = subprocess.run(["node", str(PYRIGHT), *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    told = json.loads(done.stdout)["generalDiagnostics"]
    found = {each["range"]["start"]["line"] + 1 for each in told if each["severity"] == "error"}
    assert found == wrong_lines(), done.stdout
