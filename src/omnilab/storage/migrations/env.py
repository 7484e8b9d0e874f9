"""Alembic's entry: run the migrations over one connection, in one transaction."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import asyncpg
from alembic import context
from sqlalchemy import Connection, Text, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import NullPool

from omnilab.storage.tables import metadata

# Two upgrades at once take turns under this lock; running nodes never take it.
_UPGRADE_LOCK = 0x6F6D6E75


@compiles(Text, "postgresql")
def _by_bytes(_type: Text, _compiler: object, **_options: Any) -> str:
    """Text in the order of its bytes, as on SQLite: request ids and pages are ranges in that order, whatever the
    database's own language is."""
    return 'TEXT COLLATE "C"'


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
            # A migration that has to wait for a table makes every later query of it wait behind it: give up soon.
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        context.run_migrations()


async def _over_asyncpg(dsn: str) -> None:
    connect = partial(asyncpg.connect, dsn)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


url = context.config.get_main_option("sqlalchemy.url")
assert url is not None
if url.startswith("sqlite:"):
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        _run(connection)
    engine.dispose()
else:
    asyncio.run(_over_asyncpg(url))
