"""Our own service without verification: every token is taken for whom it was when it was first seen.

What the difference to the real one costs is what verification from cache adds. Usage: unverified.py PORT
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import uvloop

from omnilab.app import create_app, open_platform
from omnilab.guard import Caller, Guard
from omnilab.serving.server import Server
from omnilab.settings import load_settings


class Remembering:
    """A guard that verifies a token once and never again."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._known: dict[str, Caller] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._guard, name)

    async def verify(self, token: str, *, tenant: str | None = None) -> Caller:
        known = self._known.get(token)
        if known is None:
            known = self._known[token] = await self._guard.verify(token, tenant=tenant)
        return known


async def main(port: int) -> None:
    platform = await open_platform(load_settings())
    platform.gate._guard = Remembering(platform.gate._guard)  # type: ignore[assignment]
    await platform.start_serving()
    app, _ = create_app(platform)
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    await Server(app).serve(listener)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1])))
