"""Commands run one after another by a process that stands ready, with what a process of their own would have told.

A command spends two thirds of a second on loading Python's modules, and tests run hundreds of them. Whoever tests
processes themselves (signals, concurrency, what is loaded) starts them with `Omnilab.run`.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

MOST = 6
_MAIN = """
import contextlib, io, json, os, sys
import coverage
from omnilab.cli.main import main
measured = coverage.Coverage.current()
orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
nothing = os.open(os.devnull, os.O_RDWR)
os.dup2(nothing, 0), os.dup2(nothing, 1)
sys.stdin = open(os.devnull)
for line in orders:
    sys.argv = ["omnilab", *json.loads(line)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    if measured is not None:
        measured.save()  # now: the process may be ended in ways that leave no time for it
    answers.write(json.dumps([code, out.getvalue(), err.getvalue()]) + "\\n")
    answers.flush()
"""


class StandingCommands:
    """One such process, in one directory with one environment."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.busy = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN],
            cwd=directory,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run one command; the caller holds `busy`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(list(words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the process ended in: omnilab {' '.join(words)}"
        code, out, err = json.loads(answer)
        return subprocess.CompletedProcess(words, code, out, err)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.communicate()


_standing: OrderedDict[tuple[str, ...], StandingCommands] = OrderedDict()
_change = threading.Lock()


def standing(directory: Path, environ: Mapping[str, str]) -> StandingCommands | None:
    """The process for this place, with its `busy` taken; None while another thread uses it."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PYTEST_")}
    key = (str(directory), *(f"{name}={value}" for name, value in sorted(kept.items())))
    with _change:
        found = _standing.pop(key, None)
        if found is None or not found.is_alive():
            found = StandingCommands(directory, kept)
        _standing[key] = found
        while len(_standing) > MOST:
            _standing.popitem(last=False)[1].close()
        return found if found.busy.acquire(blocking=False) else None


@atexit.register
def close_standing() -> None:
    """End all of them."""
    while _standing:
        _standing.popitem()[1].close()
