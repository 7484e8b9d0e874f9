"""The parent's start: settings, sockets, the supervisor, and what it says on the way."""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys

import msgspec

from omnilab.clock import SystemClock
from omnilab.errors import OmniLabError
from omnilab.serving.listening import CannotListenError, Listeners

# Loads the app too, before the fork: workers share its pages, and a replacement starts at once.
from omnilab.serving.supervisor import Supervisor
from omnilab.settings import Settings, load_settings
from omnilab.telemetry.logging import configure_logging
from omnilab.telemetry.redaction import mask_shapes

USAGE, REFUSED, UNAVAILABLE = 2, 1, 3
_OPEN_FILES = 65_536


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    asked = _arguments()
    try:
        settings = load_settings()
        listeners = Listeners(asked.host, asked.port, asked.workers)
    except CannotListenError as error:
        return _fail(error.code, error.reason, UNAVAILABLE, as_json=asked.json)
    except OmniLabError as error:
        return _fail(error.code, error.detail, REFUSED, as_json=asked.json)
    as_text = None if settings.log_format == "auto" else settings.log_format == "text"
    configure_logging(level=settings.log_level, clock=SystemClock(), as_text=as_text)
    _allow_many_connections()
    _leave_no_core_dump()
    gc.freeze()
    supervisor = Supervisor(settings, listeners, lambda: _announce(settings, listeners, as_json=asked.json))
    code = supervisor.run()
    if supervisor.failure is not None:
        return _fail(supervisor.failure.code, supervisor.failure.message, code, as_json=asked.json)
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="omnilab serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _announce(settings: Settings, listeners: Listeners, *, as_json: bool) -> None:
    host = f"[{listeners.host}]" if ":" in listeners.host else listeners.host
    url, workers = f"http://{host}:{listeners.port}", len(listeners.sockets)
    if as_json:
        document = {"url": url, "workers": workers, "environment": settings.environment, "pid": os.getpid()}
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        sys.stdout.flush()
    else:
        people = "one worker" if workers == 1 else f"{workers} workers"
        sys.stderr.write(f"Serving {settings.environment} on {url} with {people}. Ctrl-C stops.\n")
        sys.stderr.flush()


def _allow_many_connections() -> None:
    """Every connection is an open file, and the usual soft limit of 1,024 would be the first thing to run out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _leave_no_core_dump() -> None:
    """A core dump holds the keys and every secret of the moment, and lies where nobody looks for them."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _fail(code: str, message: str, exit_code: int, *, as_json: bool) -> int:
    message = mask_shapes(message)
    if as_json:
        sys.stdout.write(msgspec.json.encode({"error": {"code": code, "message": message}}).decode() + "\n")
        sys.stdout.flush()
    else:
        sys.stderr.write(f"Error: {message}\n")
    return exit_code
