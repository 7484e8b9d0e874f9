"""The SDK's log, `omnilab.client`: silent until the application configures logging. Never to stderr by itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging


@cache
def log() -> logging.Logger:
    """The logger, loaded with the first line: a fifth of what importing the SDK costs otherwise."""
    import logging  # noqa: PLC0415

    logger = logging.getLogger("omnilab.client")
    logger.addHandler(logging.NullHandler())
    return logger
