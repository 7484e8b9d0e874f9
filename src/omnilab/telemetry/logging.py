"""Logging of the service: one JSON object a line on stderr (text on a terminal), redaction last.

Promises that every logger of the process, ours and the libraries', writes through the same redaction, by name and
by shape, after exceptions have become text; that a crash of the process is written that way too; and that a
failing log call prints nothing of its arguments.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog

from omnilab.clock import Clock
from omnilab.telemetry.redaction import MASK, is_secret_name, mask
from omnilab.telemetry.timestamps import log_time

_MAX_DEPTH = 6
_QUIET = ("httpx", "httpcore", "asyncio", "alembic", "sqlalchemy")

EventDict = MutableMapping[str, Any]


def configure_logging(*, level: str, clock: Clock, stream: TextIO | None = None, as_text: bool | None = None) -> None:
    """Set up logging of this process, once.

    level: `debug`, `info`, `warning` or `error`. stream: stderr unless given. as_text: None = text where the
    stream is a terminal.
    """
    stream = stream or sys.stderr
    text = stream.isatty() if as_text is None else as_text
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _Timestamp(clock),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer = _text_renderer(stream) if text else structlog.processors.JSONRenderer(sort_keys=False, default=str)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    _take_over(handler, level)


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """structlog processor: the event with every credential masked. Stands last before the renderer."""
    return {name: _redacted(name, value, depth=0) for name, value in event.items()}


def _redacted(name: str, value: Any, *, depth: int) -> Any:
    if is_secret_name(name):
        return MASK
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, str):
        return mask(value)
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {mask(str(key)): _redacted(str(key), item, depth=depth + 1) for key, item in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item, depth=depth + 1) for item in value]
    # Whatever else it is becomes text here, so that nothing turns into text behind our back.
    return mask(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


class _Timestamp:
    """structlog processor: the time of the event, from our own clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        event["timestamp"] = log_time(self._clock.now_ms())
        return event


def _text_renderer(stream: TextIO) -> structlog.typing.Processor:
    # The plain formatter: the pretty ones print local variables.
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, sort_keys=False
    )


def _take_over(handler: logging.Handler, level: str) -> None:
    """Make ours the only handler of the process."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Otherwise a log call with wrong arguments prints them, unredacted, on stderr.
    logging.raiseExceptions = False
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger("omnilab").critical("process_crashed", exc_info=(kind, error, trace))


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None:
        name = crash.thread.name if crash.thread else ""
        structlog.get_logger("omnilab").critical("thread_crashed", thread=name, exc_info=crash.exc_value)
