"""How long a look-up by request id takes in a process that has the database open."""

from __future__ import annotations

import asyncio
import time

from bench.data import Installation
from omnilab.installation import open_installation
from omnilab.settings import load_settings


def look_up(made: Installation, wanted: list[str]) -> list[float]:
    """Seconds for each of these request ids, the first of them not counted: it opens the connection."""

    async def run() -> list[float]:
        installed = await open_installation(load_settings(made.environ))
        took = []
        try:
            for request_id in [wanted[0], *wanted]:
                began = time.monotonic()
                found = await installed.audit.find(request_id)
                took.append(time.monotonic() - began)
                if len(found) != 1:
                    raise RuntimeError(f"{len(found)} records of {request_id}")
        finally:
            await installed.close()
        return took[1:]

    return asyncio.run(run())
