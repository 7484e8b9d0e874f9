"""The floor under a token: our own HTTP server answering a constant of a token's size. Usage: constant.py PORT"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvloop
from starlette.types import Receive, Scope, Send

from omnilab.serving.server import Server

_BODY = b"x" * 760


async def app(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"760")]})
    await send({"type": "http.response.body", "body": _BODY})


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    listener.setblocking(False)
    await Server(app).serve(listener)


with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
