"""The root of `omnilab …`: its nouns, loaded only when asked for, its global options, and how usage errors are told."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from omnilab.cli.output import UNAVAILABLE, USAGE, asked_for_json, fail
from omnilab.cli.session import Asker
from omnilab.telemetry.redaction import mask_shapes

# Loading a noun loads its house; the list of commands must not wait for all of them.
NOUNS = {
    "tenants": "Customer accounts.",
    "entitlements": "What a tenant may be granted at most.",
    "audiences": "The APIs a tenant's tokens are for.",
    "clients": "The backends that get tokens.",
    "secrets": "A client's secrets: add, rotate, watch, revoke; what to do when one leaks.",
    "grants": "The endpoints a client may call.",
    "bookings": "Import and list bookings.",
    "contacts": "One contact's personal data.",
    "audit": "Why a request was answered as it was.",
    "keys": "Signing keys.",
    "db": "The database as a whole: schema, copies, backups, restoring.",
    "feedback": "What readers say of the help centre.",
    "api": "For integrators: call the API with your own credentials.",
}
VERBS = {
    "access-report": "Who holds what, last used when, and what nobody has used for long.",
    "init": "Make the database, the keys and the rest of an installation.",
    "serve": "Serve the platform over HTTP.",
    "demo": "A development environment with real bookings, and a curl session to paste.",
    "scan": "Find client secrets that leaked into files, archives, logs or git history.",
    "seed": "Bulk data for tests and benchmarks (development only).",
    "doctor": "For integrators: what stands between your program and its first booking, and how to mend it.",
    "token": "For integrators: an access token, ready for a header or explained.",
}
# These open no platform, and whoever runs them has no ticket.
INTEGRATORS = ("api", "doctor", "token")
_WHO_PANEL = "Who asks (recorded with every change; required in production)"


class LazyCommands(TyperGroup):
    """A group whose commands are modules of `omnilab.cli`, imported when first used."""

    _listing = False

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._loaded: dict[str, Any] = {}
        # Names and summaries: what help lists, and where Typer looks for a near name.
        self.commands = {name: TyperCommand(name, help=summary) for name, summary in (VERBS | NOUNS).items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._listing or cmd_name not in self.commands:
            return super().get_command(ctx, cmd_name)
        if cmd_name not in self._loaded:
            self._loaded[cmd_name] = _load(cmd_name, (VERBS | NOUNS)[cmd_name])
        return self._loaded[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def _load(name: str, summary: str) -> Any:
    app: typer.Typer = importlib.import_module(f"omnilab.cli.{name.replace('-', '_')}").app
    command: Any = typer.main.get_command(app) if name in VERBS else typer.main.get_group(app)
    command.name = name
    command.help = command.help or summary
    if name not in INTEGRATORS:
        _add_who_options(command)
    return command


def _add_who_options(command: Any) -> None:
    """Let `--operator` and `--ticket` stand at the end of a command too, where people type them."""
    for each in getattr(command, "commands", {}).values():
        _add_who_options(each)
    if not hasattr(command, "commands"):
        template: Any = typer.main.get_command(_who_template())
        command.params.extend(each for each in template.params if each.name in ("operator", "ticket"))


def _remember(ctx: typer.Context, param: typer.CallbackParam, value: str | None) -> str | None:
    if value is not None and not ctx.resilient_parsing:
        setattr(Asker.of(ctx), str(param.name), value)
    return value


Operator = Annotated[
    str | None,
    typer.Option("--operator", help="Who you are.", callback=_remember, rich_help_panel=_WHO_PANEL, show_default=False),
]
Ticket = Annotated[
    str | None,
    typer.Option("--ticket", help="The ticket.", callback=_remember, rich_help_panel=_WHO_PANEL, show_default=False),
]


def _who_template() -> typer.Typer:
    template = typer.Typer(add_completion=False)

    @template.command(context_settings={"ignore_unknown_options": True})
    def carrier(
        operator: Annotated[
            str | None,
            typer.Option("--operator", help="Who you are.", callback=_remember, expose_value=False),
        ] = None,
        ticket: Annotated[
            str | None,
            typer.Option("--ticket", help="The ticket.", callback=_remember, expose_value=False),
        ] = None,
    ) -> None:
        """Carries the two options into every command."""

    return template


root = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        sys.stdout.write(f"omnilab {version('omnilab')}\n")
        raise typer.Exit


@root.callback()
def _root(
    operator: Operator = None,
    ticket: Ticket = None,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
) -> None:
    """OmniLab's machine-to-machine platform: provision clients, serve tokens and bookings, explain every refusal.

    Every command takes --json. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 unavailable.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(_run(sys.argv[1:] if arguments is None else list(arguments)))


def _run(arguments: list[str]) -> int:
    command = typer.main.get_group(root)
    try:
        return int(command.main(args=arguments, prog_name="omnilab", standalone_mode=False) or 0)
    except typer.TyperException as error:
        return _usage(error, as_json=asked_for_json(arguments))
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of the pipe has gone; a second write at exit would only print a traceback.
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115
        return UNAVAILABLE


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    error.message = mask_shapes(error.message)  # it quotes arguments, and a secret may be among them
    if not as_json:
        show = getattr(error, "show", None)
        if show is not None:
            show()
        else:
            sys.stderr.write(f"Error: {error.format_message()}\n")
        return USAGE
    try:
        fail("usage", error.format_message(), exit_code=USAGE, as_json=True)
    except typer.Exit as ended:
        return int(ended.exit_code)


if __name__ == "__main__":
    main()
