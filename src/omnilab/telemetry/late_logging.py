"""Logging for a command: set up when there is something to log, which is next to never.

Promises what `omnilab.telemetry.logging` promises. Setting that up costs a command more than its work (structlog
loads Rich), so a handler stands in for it until the first record, warning or crash comes.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType

from omnilab.clock import Clock


def configure_late(*, level: str, clock: Clock, as_text: bool | None) -> None:
    """Have the first thing logged set up logging; the parameters are those of `configure_logging`."""

    def configure() -> None:
        from omnilab.telemetry.logging import configure_logging  # noqa: PLC0415 - that it comes late is the point

        configure_logging(level=level, clock=clock, as_text=as_text)

    if "structlog" in sys.modules:  # whoever loaded it logs through it, and not through this handler
        configure()
        return
    root = logging.getLogger()
    root.handlers[:] = [_LateHandler(configure)]
    root.setLevel(level.upper())
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        configure()
        sys.excepthook(kind, error, trace)

    def thread_crashed(crash: threading.ExceptHookArgs) -> None:
        configure()
        threading.excepthook(crash)

    sys.excepthook, threading.excepthook = crashed, thread_crashed


class _LateHandler(logging.Handler):
    def __init__(self, configure: Callable[[], None]) -> None:
        super().__init__()
        self._configure = configure

    def emit(self, record: logging.LogRecord) -> None:
        self._configure()  # puts its own handler in place of this one
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
