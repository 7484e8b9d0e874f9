"""Commands run one after another by a process that stands ready, with what a process of their own would have told.

A command spends two thirds of a second on loading Python's modules, and tests run hundreds of them. So they are loaded
once, by a seed, and each place gets a process forked from it. Whoever tests processes themselves (signals, concurrency,
what is loaded) starts them with `Omnilab.run`.
"""

from __future__ import annotations

import atexit
import json
import select
import socket
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

MOST = 6
_MAIN = """
import contextlib, gc, importlib, io, json, os, pkgutil, signal, socket, sys
import coverage
import omnilab.cli, omnilab.installation
from omnilab.cli.main import main

def stand(line):
    measured = coverage.Coverage.current()
    for order in line:
        sys.argv = ["omnilab", *json.loads(order)]
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        if measured is not None:
            measured.save()  # now: the process may be ended in ways that leave no time for it
        line.write(json.dumps([code, out.getvalue(), err.getvalue()]) + "\\n")
        line.flush()

for module in pkgutil.iter_modules(omnilab.cli.__path__, "omnilab.cli."):
    importlib.import_module(module.name)
gc.freeze()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
door = socket.socket(fileno=int(sys.argv[1]))
while True:
    place, lines, _, _ = socket.recv_fds(door, 1 << 20, 1)
    if not place:
        break
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        door.close()
        directory, environ = json.loads(place)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environ)
        stand(socket.socket(fileno=lines[0]).makefile("rw"))
        os._exit(0)
    os.close(lines[0])
"""


class _Seed:
    """A process that has loaded what commands need, and forks."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            nothing = subprocess.DEVNULL
            words = [sys.executable, "-c", _MAIN, str(theirs.fileno())]
            self._process = subprocess.Popen(
                words, env=environ, pass_fds=[theirs.fileno()], stdin=nothing, stdout=nothing, stderr=nothing
            )

    def fork(self, directory: Path, environ: Mapping[str, str]) -> socket.socket:
        """The line to a new process in this directory and environment."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._door, [json.dumps([str(directory), dict(environ)]).encode()], [theirs.fileno()])
        return ours

    def close(self) -> None:
        self._door.close()
        self._process.wait()


class StandingCommands:
    """One such process, in one directory with one environment."""

    def __init__(self, line: socket.socket) -> None:
        self.busy = threading.Lock()
        self._line = line
        self._file = line.makefile("rw")

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run one command; the caller holds `busy`."""
        self._file.write(json.dumps(list(words)) + "\n")
        self._file.flush()
        answer = self._file.readline()
        assert answer, f"the process ended in: omnilab {' '.join(words)}"
        code, out, err = json.loads(answer)
        return subprocess.CompletedProcess(words, code, out, err)

    def is_alive(self) -> bool:
        return self.busy.locked() or not select.select([self._line], [], [], 0)[0]

    def close(self) -> None:
        """End it, and wait for that."""
        self._line.shutdown(socket.SHUT_WR)
        self._file.read()
        self._file.close()
        self._line.close()


_seeds: dict[tuple[str, ...], _Seed] = {}
_standing: OrderedDict[tuple[str, ...], StandingCommands] = OrderedDict()
_change = threading.Lock()


def standing(directory: Path, environ: Mapping[str, str]) -> StandingCommands | None:
    """The process for this place, with its `busy` taken; None while another thread uses it."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PYTEST_")}
    key = (str(directory), *(f"{name}={value}" for name, value in sorted(kept.items())))
    with _change:
        found = _standing.pop(key, None)
        if found is None or not found.is_alive():
            found = StandingCommands(_seed_for(kept).fork(directory, kept))
        _standing[key] = found
        while len(_standing) > MOST:
            _standing.popitem(last=False)[1].close()
        return found if found.busy.acquire(blocking=False) else None


def _seed_for(environ: Mapping[str, str]) -> _Seed:
    """The seed of places like this one: measured or not."""
    of_python = {name: value for name, value in environ.items() if not name.startswith("OMNILAB_")}
    key = tuple(f"{name}={value}" for name, value in sorted(of_python.items()))
    if key not in _seeds:
        _seeds[key] = _Seed(of_python)
    return _seeds[key]


@atexit.register
def close_standing() -> None:
    """End all of them."""
    while _standing:
        _standing.popitem()[1].close()
    while _seeds:
        _seeds.popitem()[1].close()
