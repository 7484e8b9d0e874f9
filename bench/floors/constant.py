"""The floor under a token: raw ASGI answering a constant of a token's size. Usage: constant.py PORT uvicorn|own"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from omnilab.serving.server import Server

_BODY = b"x" * 760


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    await receive()
    head = [(b"content-length", b"760"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": _BODY})


async def own(port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    listener.setblocking(False)
    await Server(app).serve(listener)


if __name__ == "__main__":
    if sys.argv[2] == "uvicorn":
        uvicorn.run(app, port=int(sys.argv[1]), log_level="error", lifespan="off", loop="uvloop", http="httptools")
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(own(int(sys.argv[1])))
