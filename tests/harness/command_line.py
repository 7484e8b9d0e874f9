"""Many commands in one process: the same commands, only the second that Python takes to load them is spent once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

_MAIN = """
import json, sys
from omnilab.cli.main import main
for line in sys.stdin:
    sys.argv = ["omnilab", *json.loads(line), "--json"]
    try:
        main()
    except SystemExit as ended:
        print(ended.code, flush=True)
"""


class CommandLine:
    """A context manager. A command has returned when `run` returns: not later than its own process would have ended."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN],
            cwd=directory,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> CommandLine:
        return self

    def __exit__(self, *_: tuple[type[BaseException], BaseException, TracebackType] | None) -> None:
        self._process.communicate()

    def run(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """Run one command with `--json`; return its document after checking the exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        document, code = self._process.stdout.readline(), self._process.stdout.readline()
        assert code == f"{expect}\n", f"omnilab {' '.join(arguments)}\n{document}{code}"
        answer: dict[str, Any] = json.loads(document)
        return answer
