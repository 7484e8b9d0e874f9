"""One worker: opens the platform, answers on its socket, and stops without cutting a request.

Tells its parent through a pipe, one JSON line: that it is ready, or in words why it cannot be.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial

import msgspec
import uvloop

from omnilab.app import create_app, open_platform
from omnilab.errors import OmniLabError, UnavailableError
from omnilab.serving.listening import BACKLOG_SECONDS, waiting_at
from omnilab.serving.pulse import Pulse
from omnilab.serving.server import Server
from omnilab.settings import Settings
from omnilab.storage.sqlite_threads import one_thread_a_connection
from omnilab.telemetry.metrics import Metrics, MetricsBoard, serve_metrics
from omnilab.telemetry.redaction import mask

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
    """What the parent hands a worker: its number from 0, its socket, a pipe to report on, and what all share."""

    number: int
    listener: socket.socket
    report_to: int
    board: MetricsBoard
    pulse: Pulse

    def report(self, report: Report) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and this worker will be in a moment
            os.write(self.report_to, msgspec.json.encode(report) + b"\n")


class _Stop:
    """SIGTERM, heard from a worker's first moment on: connections wait at its socket before it can answer them.

    Asked to stop while it starts, a worker goes on if somebody waits, answers them, and ends; else it ends at once.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.asked = asyncio.Event()
        self._listener = listener
        self._starting = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGTERM, self._ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked by the parent, before the fork

    def started(self) -> None:
        """From here on the server stops by itself."""
        self._starting = None

    def _ask(self) -> None:
        self.asked.set()
        self._loop.call_later(BACKLOG_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._starting is not None and not waiting_at(self._listener):
            self._starting.cancel()


def work(settings: Settings, post: Post) -> int:
    """Serve until SIGTERM; returns the exit code. SIGTERM is to be blocked until then."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    if settings.database_url.startswith("sqlite:"):
        one_thread_a_connection()  # the loop's thread reads, the writer's writes
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, post))
    except OmniLabError as error:
        unavailable = isinstance(error, UnavailableError)
        words = error.reason if unavailable else error.detail
        post.report(Report(code=error.code, message=mask(words), refused=not unavailable))
        return CANNOT_START
    except asyncio.CancelledError:
        return 0


async def _serve(settings: Settings, post: Post) -> int:
    gc.disable()  # all that is loaded now stays, and walking through it again and again took a fifth of the time
    stop = _Stop(post.listener)
    platform = await open_platform(settings)
    try:
        await platform.start_serving()
        app, metrics = create_app(platform, board=post.board, row=post.number)
        if settings.metrics_port is not None:
            await _serve_metrics(metrics, settings.metrics_host, settings.metrics_port)
        beat = partial(post.pulse.beat, post.number)
        server = Server(app, stopping=stop.asked, drain_seconds=settings.drain_seconds, each_second=beat)
        stop.started()
        await server.serve(post.listener, ready=lambda: _ready(post))
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
    gc.freeze()
    gc.enable()
    # Requests leave next to no cycles behind; at Python's 700 the looking showed as 2–3 % of a loaded worker.
    gc.set_threshold(50_000, 20, 20)
    post.report(Report())
