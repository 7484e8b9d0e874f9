"""A command that is killed (`kill -9`) at one exact step of its work, on a slow machine as on a quick one."""

from __future__ import annotations

import subprocess
import sys

from tests.harness import Omnilab

# Runs the command line as `omnilab` does; before the wanted call of one method the process kills itself.
_PROGRAM = """
import importlib, os, signal, sys
module, owner, method, before = sys.argv[1:5]
owner = getattr(importlib.import_module(module), owner)
work, calls = getattr(owner, method), iter(range(1, int(before)))
def step(*args, **kwargs):
    if next(calls, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return work(*args, **kwargs)
setattr(owner, method, step)
sys.argv[1:] = sys.argv[5:]
from omnilab.cli.entry import main
main()
"""


def killed(omnilab: Omnilab, words: list[str], step: tuple[str, str, str], *, before: int) -> None:
    """Run a command until just before the call of this number (from 1) of `step`, a module's class and its method."""
    line = [sys.executable, "-c", _PROGRAM, *step, str(before), *words]
    done = subprocess.run(
        line, check=False, cwd=omnilab.directory, env=omnilab.environ(), capture_output=True, text=True, timeout=90
    )
    assert done.returncode == -9, done.stdout + done.stderr
