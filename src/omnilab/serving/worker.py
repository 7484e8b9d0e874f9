"""One worker: opens the platform, answers on its socket, and stops without cutting a request.

Tells its parent through a pipe, one JSON line: that it is ready, or in words why it cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import uvicorn
import uvloop

from omnilab.app import create_app, open_platform
from omnilab.errors import OmniLabError, UnavailableError
from omnilab.serving.connection import Connection
from omnilab.settings import Settings
from omnilab.telemetry.metrics import Metrics, MetricsBoard, serve_metrics
from omnilab.telemetry.redaction import mask
from omnilab.web.application import Application

# Long enough for the event loop to take every connection that was waiting in the backlog.
BACKLOG_SECONDS = 0.1
# Longer than the 60 s for which load balancers keep a connection: the side that asks should be the one to close.
KEEP_ALIVE_SECONDS = 75
# The writer thread gives the interpreter lock back after each step of SQLite and has to win it again. At Python's
# 5 ms a busy event loop makes every commit wait that long several times over; at 0.5 ms the wait is not felt.
SWITCH_INTERVAL_SECONDS = 0.0005

CANNOT_START, DEFECT = 3, 70


class Report(msgspec.Struct, omit_defaults=True):
    """What a worker tells its parent: nothing but `code` and `message` when it cannot start."""

    code: str = ""
    message: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """What the parent hands a worker: its number from 0, its socket, a pipe to report on, and the shared metrics."""

    number: int
    listener: socket.socket
    report_to: int
    board: MetricsBoard

    def report(self, report: Report) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and this worker will be in a moment
            os.write(self.report_to, msgspec.json.encode(report) + b"\n")


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are its owner's business and whose stop begins with what is already waiting."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn would raise them again at the end, and so turn a clean stop into a death by signal

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(BACKLOG_SECONDS)
        await super().shutdown(sockets=sockets)

    def stop(self) -> None:
        self.should_exit = True


def work(settings: Settings, post: Post) -> int:
    """Serve until SIGTERM; returns the exit code."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    # Its notices repeat the parent's; and unless its level is set, it composes a trace line for each connection.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, post))
    except OmniLabError as error:
        unavailable = isinstance(error, UnavailableError)
        words = error.reason if unavailable else error.detail
        post.report(Report(code=error.code, message=mask(words), refused=not unavailable))
        return CANNOT_START


async def _serve(settings: Settings, post: Post) -> int:
    platform = await open_platform(settings)
    try:
        await platform.start_serving()
        app, metrics = create_app(platform, board=post.board, row=post.number)
        if settings.metrics_port is not None:
            await _serve_metrics(metrics, settings.metrics_host, settings.metrics_port)
        server = _Server(_config(app, settings), lambda: _ready(post))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
        await server.serve(sockets=[post.listener])
    finally:
        await platform.close()
    return 0


async def _serve_metrics(metrics: Metrics, host: str, port: int) -> None:
    try:
        await serve_metrics(metrics, host=host, port=port)
    except OSError as error:
        raise UnavailableError(f"the metrics port {port} on {host} cannot be listened on: {error.strerror}") from error


def _ready(post: Post) -> None:
    # The loaded snapshot lives as long as the process: walking through it at every full collection costs
    # milliseconds of silence for each ten thousand clients.
    gc.collect()
    gc.freeze()
    # Requests leave next to no cycles behind; at Python's 700 the looking showed as 2–3 % of a loaded worker.
    gc.set_threshold(50_000, 20, 20)
    post.report(Report())


def _config(app: Application, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the peer's address counts; whom to trust beyond it is our own rule (web/addresses.py)
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
