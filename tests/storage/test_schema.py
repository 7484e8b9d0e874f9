"""The migrations and the tables that the stores use are one schema."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from omnilab.storage import schema
from omnilab.storage.sqlite import SQLiteDatabase
from omnilab.storage.tables import metadata

for module in ("audit.tables", "bookings.tables", "tenancy.tables", "tokens.tables", "storage.idempotency_tables"):
    importlib.import_module(f"omnilab.{module}")


def test_the_migrations_make_exactly_the_tables_of_the_stores(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/omnilab.db"
    schema.upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_head_is_the_newest_migration() -> None:
    folder = Path(schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == schema.HEAD


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/omnilab.db"
    schema.upgrade(url)
    schema.upgrade(url)
    assert (tmp_path / "omnilab.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("CREATE TABLE x (y)", "not initialised"),
        ("CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('9999')", "is 9999"),
    ],
)
def test_a_database_with_another_schema_is_refused_in_words(tmp_path: Path, prepare: str, words: str) -> None:
    path = tmp_path / "omnilab.db"
    sqlite3.connect(path).executescript(prepare)

    async def check() -> None:
        db = SQLiteDatabase(path)
        await db.start()
        try:
            with pytest.raises(schema.SchemaError, match=words):
                await schema.check_schema(db)
        finally:
            await db.close()

    asyncio.run(check())
