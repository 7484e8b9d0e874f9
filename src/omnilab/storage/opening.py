"""Which engine a database URL names. The only place that knows them both; each is loaded only where it is used."""

from __future__ import annotations

from omnilab.storage.database import Database


def open_database(url: str) -> Database:
    """The database of a `sqlite:///…` or `postgresql://…` URL, not started yet. Raises ValueError for any other."""
    if url.startswith("sqlite:"):
        from omnilab.storage.sqlite import SQLiteDatabase  # noqa: PLC0415 - a process has one engine
        from omnilab.storage.sqlite_files import sqlite_path  # noqa: PLC0415

        return SQLiteDatabase(sqlite_path(url))
    from omnilab.storage.postgresql import PostgreSQLDatabase  # noqa: PLC0415

    return PostgreSQLDatabase(url)


def missing_file(url: str) -> str | None:
    """The path of an embedded database that is not there yet, else None."""
    if not url.startswith("sqlite:"):
        return None
    from omnilab.storage.sqlite_files import sqlite_path  # noqa: PLC0415

    path = sqlite_path(url)
    return None if path.exists() else str(path)
