"""Alembic's entry: run the migrations over one connection; on SQLite all in one transaction."""

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


def _run(connection: Connection, *, each_apart: bool) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=each_apart)
    with context.begin_transaction():
        context.run_migrations()


def _run_on_postgresql(connection: Connection) -> None:
    """Each migration in its own transaction: what takes long must not hold what it locked before."""
    # Both for the whole session. A migration that has to wait for a table makes every later query of it wait behind
    # it: give up soon.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text(f"SELECT pg_advisory_lock({_UPGRADE_LOCK})"))
    connection.commit()
    _run(connection, each_apart=True)


async def _over_asyncpg(dsn: str) -> None:
    connect = partial(asyncpg.connect, dsn)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run_on_postgresql)
        await connection.commit()
    await engine.dispose()


url = context.config.get_main_option("sqlalchemy.url")
assert url is not None
if url.startswith("sqlite:"):
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        _run(connection, each_apart=False)
    engine.dispose()
else:
    asyncio.run(_over_asyncpg(url))
