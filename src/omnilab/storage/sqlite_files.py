"""The files of an embedded database: where it lies, how its connections are set, and who may write next.

Every writing process queues on two lock files beside the database: take `next`, then `write`, release `next`.
The kernel serves waiters in order and frees the locks of a killed process. SQLite's own busy handler sleeps and
tries again, and was measured to let a writer starve for up to 2.8 s; through the two files the worst was 17 ms.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from sqlalchemy.engine import make_url

# 4 MiB of WAL before SQLite folds it back. All who write wait for a fold: of 8,000 pages it took 30–60 ms every other
# second, and 99 % of tokens at 4,300 a second came within 15–23 ms; with 1,000 pages 4–8 ms.
_WAL_PAGES = 1000
# Of each connection. With 16 MiB a worker had 17 MB more and was no quicker: in WAL mode another connection's commit
# empties the cache of one that reads.
_CACHE_KIB = 4 * 1024


def sqlite_path(url: str) -> Path:
    """The file that a `sqlite:///…` URL names. Raises ValueError for an in-memory database."""
    database = make_url(url).database
    if not database or database == ":memory:":
        raise ValueError("the database URL must name a file: sqlite:///path/to/omnilab.db")
    return Path(database)


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Open a connection in autocommit mode; a commit is durable when it returns (`synchronous=FULL` in WAL mode)."""
    if writable and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # what was erased is overwritten, not left in free space
    if not writable:
        connection.execute("PRAGMA query_only = ON")
    return connection


class WriteTurn:
    """This process's place in the queue of writers. A context manager: inside, no other process writes.

    waiting: whether it waits for others just now.
    """

    def __init__(self, path: Path) -> None:
        self.waiting = False
        self._next = self._open(path.with_name(path.name + ".next"))
        self._write = self._open(path.with_name(path.name + ".write"))

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        self.waiting = True
        fcntl.flock(self._next, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._write, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)
        self.waiting = False

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._write, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._next)
        os.close(self._write)
