"""Databases for tests of stores and services: the same test runs on every engine.

`BOTH_ENGINES` marks a module whose tests run once on SQLite and once on PostgreSQL. They name their database by a path;
on PostgreSQL a path stands for a database of that test run's own cluster, started when the first one is asked for.
"""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from omnilab.storage.database import Database
from omnilab.storage.opening import open_database
from omnilab.storage.schema import upgrade
from tests.harness.postgresql import PostgreSQL

ENGINES = ("sqlite", "postgresql")
BOTH_ENGINES = [pytest.mark.usefixtures("engine"), pytest.mark.parametrize("engine", ENGINES, indirect=True)]

_in_use = "sqlite"
_databases: dict[Path, str] = {}


@contextmanager
def using(engine: str) -> Iterator[str]:
    """Every database is of this engine until the block ends."""
    global _in_use  # noqa: PLW0603 - what the fixture `engine` sets and no test passes along
    _in_use = engine
    try:
        yield engine
    finally:
        _in_use = "sqlite"


def url_of(path: Path) -> str:
    """The URL of the database at this path. On PostgreSQL it is made, with its schema, when it is first named."""
    if _in_use == "sqlite":
        return f"sqlite:///{path}"
    if path not in _databases:
        _databases[path] = cluster().create_database(template=_template())
    return _databases[path]


def made_at(path: Path) -> str:
    """The URL of a new database at this path that has its schema."""
    if _in_use == "sqlite":
        for source in _template_file().parent.glob("omnilab.db*"):
            shutil.copy(source, path.parent / source.name.replace("omnilab.db", path.name))
    return url_of(path)


def is_made(path: Path) -> bool:
    return path.exists() if _in_use == "sqlite" else path in _databases


def database_at(path: Path) -> Database:
    """The database at this path, not started yet."""
    return open_database(url_of(path))


def run_sql(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Run one statement as an intruder or an operator does, over a connection of its own; whole numbers and texts."""
    url = url_of(path)
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(path)) as raw, raw:
            return raw.execute(sql).fetchall()
    rows = cluster().sql(url.rpartition("/")[2], sql)
    return [tuple(int(value) if value.isdigit() else value for value in row) for row in rows]


def bytes_of(path: Path) -> bytes:
    """All that the database holds: its files, or what a dump writes out."""
    url = url_of(path)
    if url.startswith("sqlite:"):
        return b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))
    return subprocess.run(["pg_dump", "--dbname", url], check=True, capture_output=True).stdout


@cache
def cluster() -> PostgreSQL:
    """This process's PostgreSQL. These tests are about rules, not about power cuts: it does not wait for the disk."""
    folder = tempfile.TemporaryDirectory(prefix="omnilab-postgresql-")
    server = PostgreSQL(Path(folder.name)).start(fsync="off", synchronous_commit="off", max_connections="60")

    def remove() -> None:
        server.remove()
        folder.cleanup()

    atexit.register(remove)
    return server


@cache
def _template_file() -> Path:
    """One migrated database a test run, to be copied: a migration costs more than most tests."""
    path = Path(tempfile.mkdtemp(prefix="omnilab-sqlite-")) / "omnilab.db"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    upgrade(f"sqlite:///{path}")
    return path


@cache
def _template() -> str:
    url = cluster().create_database()
    with ThreadPoolExecutor(1) as thread:  # a test may ask for it on its event loop, and a migration has its own
        thread.submit(upgrade, url).result()
    return url.rpartition("/")[2]
