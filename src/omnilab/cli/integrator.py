"""What the integrators' commands share: their own credentials, and how the SDK's errors end a command.

These commands open no platform: they work wherever an integrator's program would, through the same SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from omnilab.cli.output import REFUSED, UNAVAILABLE, USAGE, answering, fail

if TYPE_CHECKING:
    from omnilab.client import OmniLab, OmniLabError, Options

_PANEL = "Your credentials"


def _option(name: str, words: str, metavar: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        name, metavar=metavar, help=words, rich_help_panel=_PANEL, show_default=False
    )
    return option


ClientId = Annotated[str | None, _option("--client-id", "Default: OMNILAB_CLIENT_ID.", "ID")]
SecretFile = Annotated[
    str | None,
    _option(
        "--client-secret-file",
        "Default: OMNILAB_CLIENT_SECRET_FILE or …_SECRET. Never an argument: others see those.",
        "FILE",
    ),
]
Audience = Annotated[str | None, _option("--audience", "Default: OMNILAB_AUDIENCE.", "URI")]
BaseUrl = Annotated[str | None, _option("--base-url", "Default: OMNILAB_BASE_URL; without /v1.", "URL")]
AllowHttp = Annotated[
    bool, typer.Option("--allow-http", help="Allow plain http to another machine.", rich_help_panel=_PANEL)
]


@dataclass(frozen=True, slots=True)
class Place:
    """Whose credentials, and where to; None is left to the environment."""

    client_id: str | None
    secret_file: str | None
    audience: str | None
    base_url: str | None
    allow_http: bool

    def options(self) -> Options:
        """What is given, as the SDK takes it."""
        given = {
            "client_id": self.client_id,
            "client_secret_file": self.secret_file,
            "audience": self.audience,
            "base_url": self.base_url,
        }
        options: Options = {"allow_http": self.allow_http}
        options |= {name: value for name, value in given.items() if value}  # type: ignore[typeddict-item]
        return options


@contextmanager
def calling(place: Place, *, as_json: bool) -> Iterator[OmniLab]:
    """An SDK client; its errors become words and an exit code: 2 settings, 3 no answer, 1 any other refusal."""
    from omnilab.client import OmniLab, OmniLabError

    with answering(as_json):
        try:
            with OmniLab(**place.options()) as client:
                yield client
        except OmniLabError as error:
            _fail(error, as_json=as_json)


def _fail(error: OmniLabError, *, as_json: bool) -> None:
    from omnilab.client import ConfigurationError, NoAnswerError, UnavailableError

    words = str(error).partition(": ")[2]
    if isinstance(error, ConfigurationError):
        fail(error.code, words, exit_code=USAGE, as_json=as_json)
    unavailable = isinstance(error, NoAnswerError | UnavailableError)
    if unavailable and error.idempotency_key is not None:
        words += f" To repeat it safely: --idempotency-key {error.idempotency_key}"
    fail(error.code, words, exit_code=UNAVAILABLE if unavailable else REFUSED, as_json=as_json)
