"""SQLite told that each connection has one thread: it says that it was told, and threads with a connection each fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sqlite3, sys, threading
from pathlib import Path
from omnilab.storage.sqlite_files import WriteTurn, connect
from omnilab.storage.sqlite_threads import one_thread_a_connection

path, told = Path(sys.argv[1]), one_thread_a_connection()
with connect(path, writable=True) as made:
    made.execute("CREATE TABLE counted (writer INTEGER, number INTEGER)")
made.close()

def write(writer):
    connection, turn = connect(path, writable=True), WriteTurn(path)
    for number in range(200):
        with turn:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO counted VALUES (?, ?)", (writer, number))
            connection.execute("COMMIT")
    connection.close()

def read():
    connection, seen = connect(path, writable=False), 0
    while seen < 800:
        rows = connection.execute("SELECT writer, number FROM counted").fetchall()
        assert len(rows) >= seen and len(set(rows)) == len(rows)
        seen = len(rows)

threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
threads += [threading.Thread(target=read) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(told, connect(path, writable=False).execute("PRAGMA integrity_check").fetchone()[0])
"""


def test_threads_with_a_connection_each(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _PROGRAM, str(tmp_path / "omnilab.db")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("True ok\n", "", 0)


def test_where_sqlite_cannot_be_told_it_goes_on_as_before() -> None:
    program = (
        "import _sqlite3, sqlite3; del _sqlite3.__file__\n"
        "from omnilab.storage.sqlite_threads import one_thread_a_connection\n"
        "print(one_thread_a_connection(), sqlite3.connect(':memory:').execute('SELECT 1').fetchone())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("False (1,)\n", 0), done.stderr
