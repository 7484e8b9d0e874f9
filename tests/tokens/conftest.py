"""One installation made for all tests of this area; each test plays on a copy, for RSA keys take their time."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.tokens.running import running


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made-once")

    async def make() -> None:
        async with running(folder):
            pass

    asyncio.run(make())
    return folder


@pytest.fixture
def folder(made_once: Path, tmp_path: Path) -> Path:
    """A fresh copy of the installation."""
    return shutil.copytree(made_once, tmp_path / "installation")
