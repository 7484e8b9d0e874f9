"""One command's way into the platform: its settings, who asks, and the opened services.

Promises: the platform is closed however the command ends; in production no change is made without an operator and a
ticket. Must not know what the command does.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from omnilab.errors import ProvisioningError
from omnilab.telemetry.redaction import looks_like_credential

if TYPE_CHECKING:
    from omnilab.audit.model import Actor
    from omnilab.installation import Installation
    from omnilab.settings import Settings

_WHO = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


@dataclass(slots=True)
class Asker:
    """Who asks, as typed: `--operator` and `--ticket`, or `OMNILAB_OPERATOR` and `OMNILAB_TICKET`."""

    operator: str | None = None
    ticket: str | None = None

    @classmethod
    def of(cls, ctx: typer.Context) -> Asker:
        """The one asker of this invocation; any part of the command line may fill it."""
        root = ctx.find_root()
        if not isinstance(root.obj, cls):
            root.obj = cls(os.environ.get("OMNILAB_OPERATOR") or None, os.environ.get("OMNILAB_TICKET") or None)
        asker: Asker = root.obj
        return asker


class Session:
    """What a command works with: `settings`, `platform`, and `actor` for changes."""

    def __init__(self, settings: Settings, platform: Installation, asker: Asker) -> None:
        self.settings = settings
        self.platform = platform
        self._asker = asker

    @property
    def actor(self) -> Actor:
        """Who makes a change; ask for it only to make one. Raises ProvisioningError where production wants more."""
        return actor_of(self._asker, self.settings.environment)


def actor_of(asker: Asker, environment: str) -> Actor:
    """The person behind a change: OS user and host always, operator and ticket as given (required in production)."""
    from omnilab.audit.model import Actor

    given = {"operator": asker.operator, "ticket": asker.ticket}
    for name, value in given.items():
        if value is None and environment == "production":
            raise ProvisioningError(
                f"{name}_required",
                f"In production every change names who makes it and why: give --operator and --ticket"
                f" (or OMNILAB_OPERATOR and OMNILAB_TICKET). The {name} is missing.",
            )
        if value is not None and (not _WHO.fullmatch(value) or looks_like_credential(value)):
            raise ProvisioningError(
                f"{name}_invalid", f"The {name} must be 1 to 100 characters, without control characters or credentials."
            )
    return Actor(os_user=_os_user(), host=socket.gethostname(), operator=asker.operator, ticket=asker.ticket)


def _os_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number without a name
        return str(os.getuid())


@asynccontextmanager
async def open_session(ctx: typer.Context, *, restored: bool = False) -> AsyncIterator[Session]:
    """Read the settings, open the platform, and close it again. Raises SettingsError, ProvisioningError (not
    initialised: `omnilab init`) or UnavailableError."""
    from omnilab.settings import load_settings

    settings = load_settings()
    log_to_stderr(settings)
    platform = await open_initialised(settings, restored=restored)
    try:
        yield Session(settings, platform, Asker.of(ctx))
    finally:
        await platform.close()


def log_to_stderr(settings: Settings) -> None:
    """Have what the houses log go where it belongs: stdout is for the answer alone."""
    from omnilab.clock import SystemClock
    from omnilab.telemetry.late_logging import configure_late

    as_text = None if settings.log_format == "auto" else settings.log_format == "text"
    configure_late(level=settings.log_level, clock=SystemClock(), as_text=as_text)


async def open_initialised(settings: Settings, *, restored: bool = False) -> Installation:
    """Open the platform of an installation that `omnilab init` has made. Raises ProvisioningError where it has not."""
    if settings.master_key is None:
        raise ProvisioningError(
            "not_initialised",
            f"There is no installation here yet (no key in {settings.data_directory}): run `omnilab init` first.",
        )
    from omnilab.installation import open_installation

    return await open_installation(settings, restored=restored)
