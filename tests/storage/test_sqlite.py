"""What is the embedded engine's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from omnilab.storage.database import Database, Transaction
from tests.storage.test_group_commit import adding, over_database


def test_a_unit_that_waits_for_something_else_is_refused(tmp_path: Path) -> None:
    async def sleeping(tx: Transaction) -> None:
        await asyncio.sleep(0)

    async def action(db: Database) -> None:
        with pytest.raises(RuntimeError, match="nothing but its transaction"):
            await db.write(sleeping)
        assert await db.write(adding("next")) == "next"

    over_database(tmp_path, action)
