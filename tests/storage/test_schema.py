"""The migrations and the tables that the stores use are one schema."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from omnilab.storage import schema
from omnilab.storage.sqlite import SQLiteDatabase
from omnilab.storage.tables import metadata
from tests.harness import databases

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
        ("CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('0001')", "is 0001"),
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


@pytest.mark.parametrize(
    ("revision", "serves_from", "may"),
    [("9999", schema.HEAD, True), ("9999", "0001", True), ("9999", "9998", False), ("0001", "0001", False)],
)
def test_a_newer_schema_says_who_may_serve_it(tmp_path: Path, revision: str, serves_from: str, may: bool) -> None:
    """An old node that has to start again in the middle of a release can, unless the release says that it must not."""
    path = tmp_path / "omnilab.db"
    schema.upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        raw.execute("UPDATE installation SET value = ? WHERE name = ?", (serves_from, schema.SERVES_FROM))

    async def check() -> None:
        db = SQLiteDatabase(path)
        await db.start()
        try:
            await schema.check_schema(db)
        finally:
            await db.close()

    if may:
        asyncio.run(check())
    else:
        with pytest.raises(schema.SchemaError, match=f"is {revision}"):
            asyncio.run(check())


def test_on_postgresql_too(tmp_path: Path) -> None:
    with databases.using("postgresql"):
        url = databases.made_at(tmp_path / "omnilab.db")
    schema.upgrade(url)

    def differences(connection: Connection) -> list[object]:
        partitions = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))
        return [
            each
            for each in compare_metadata(MigrationContext.configure(connection), metadata)
            if each[1].name not in partitions
            and getattr(each[1], "table", each[1]).name not in partitions
            # Each partition has this one for itself: over all of them it could not be unique.
            and (each[0], each[1].name) != ("add_index", "audit_records_in_chain")
        ]

    async def compare() -> list[object]:
        engine = create_async_engine("postgresql+asyncpg://", async_creator=partial(asyncpg.connect, url))
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
        await engine.dispose()
        return found

    assert asyncio.run(compare()) == []


def test_text_is_ordered_by_its_bytes_whatever_the_database_speaks(tmp_path: Path) -> None:
    """Pages, request ids and their ranges rely on it, and a database's own language puts `~` before letters."""
    with databases.using("postgresql"):
        databases.made_at(tmp_path / "omnilab.db")
        query = """SELECT count(*) FROM information_schema.columns
            WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'"""
        assert databases.run_sql(tmp_path / "omnilab.db", query) == [(0,)]
