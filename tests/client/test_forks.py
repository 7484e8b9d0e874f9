"""Servers that load the application, use it, and fork: gunicorn with `--preload`, multiprocessing by fork."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from omnilab.client.testing import FakeOmniLab

PROGRAM = """
import os, sys, threading, time
from omnilab.client import OmniLab
client = OmniLab()
threads = []
def work():
    for _ in range(10):
        client.whoami()
if "warm" in sys.argv:
    client.whoami()
# Locks are held and connections are in use at the moment of the fork.
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    children.append(child)
for thread in threads:
    thread.join()
for child in children:
    assert os.waitpid(child, 0)[1] == 0
print("done")
"""


@pytest.mark.parametrize("state", ["warm", "cold"])
def test_children_have_connections_and_locks_of_their_own(state: str) -> None:
    fake = FakeOmniLab()
    with fake.serve() as environ:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, state],
            env=os.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert {call.code for call in fake.calls} == {""}
    assert sum(call.call == "whoami" for call in fake.calls) == 80 + (state == "warm")
    # A token that was there before the fork is the children's too; without one each asks for its own.
    assert fake.token_requests == 1 if state == "warm" else fake.token_requests <= 5
