"""Bringing a database to the schema this program was written for, and telling whether it is there.

Alembic does the work and is imported only when there is some: a serving process just compares two names.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Column, MetaData, Table, Text, select

from omnilab.errors import UnavailableError
from omnilab.storage.database import Reader
from omnilab.storage.installation import find_value
from omnilab.storage.sqlite_files import WriteTurn, connect, sqlite_path
from omnilab.storage.statement import Statement

# The newest migration. A test holds it equal to what Alembic finds in the folder.
HEAD = "0009"

# The name in `installation` under which migrations say which is the oldest program that may serve their schema.
SERVES_FROM = "schema_serves_from"

_alembic_version = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))
_REVISION = Statement(select(_alembic_version.c.version_num))


class SchemaError(Exception):
    """The database's schema is not the one this program was written for; the text says what to do."""


def upgrade(url: str, revision: str = "head") -> None:
    """Run all missing migrations, or those up to one. Safe to call again, and from two processes at once: writers take
    turns. Raises SchemaError for a revision that there is not."""
    _run(url, "upgrade", revision)


def downgrade(url: str, revision: str) -> None:
    """Take migrations back down to one. Raises SchemaError for a revision that there is not."""
    _run(url, "downgrade", revision)


def revisions() -> list[str]:
    """The names of all migrations, oldest first."""
    folder = Path(__file__).parent / "migrations" / "versions"
    return sorted(path.name.partition("_")[0] for path in folder.glob("[0-9]*.py"))


def pending(revision: str | None) -> list[str]:
    """The migrations that a database at this revision lacks."""
    return [each for each in revisions() if revision is None or each > revision]


def _run(url: str, verb: str, revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - 40 ms and 8 MB that only this needs
    from alembic.config import Config  # noqa: PLC0415

    if revision != "head" and revision not in revisions():
        raise SchemaError(f"there is no revision {revision[:20]!r}; there are {', '.join(revisions())}")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    run = getattr(command, verb)
    if not url.startswith("sqlite:"):
        run(config, revision)
        return
    path = sqlite_path(url)
    connect(path, writable=True).close()
    turn = WriteTurn(path)
    try:
        with turn:
            run(config, revision)
    finally:
        turn.close()


async def check_schema(reader: Reader) -> None:
    """Raises SchemaError unless this program may serve the database as it is, and UnavailableError when it is away.

    That is its own schema, or a newer one that says that programs of this one may serve it too: so old and new nodes
    run side by side while a release goes out, and an old one that has to start again can.
    """
    try:
        row = await reader.fetch_one(_REVISION)
        serves_from = None if row is None or row[0] <= HEAD else await find_value(reader, SERVES_FROM)
    except UnavailableError as error:
        if not _lacks_table(error):
            raise
        row = serves_from = None
    if row is None:
        raise SchemaError("the database is not initialised: run `omnilab init`")
    if row[0] != HEAD and (serves_from is None or serves_from > HEAD):
        raise SchemaError(f"the database's schema is {row[0]}, this program needs {HEAD}: run `omnilab init`")


def _lacks_table(error: UnavailableError) -> bool:
    """Whether the database answered, and has no such table: nobody has initialised it."""
    return getattr(error.__cause__, "sqlstate", None) == "42P01" or "no such table" in str(error.__cause__)
