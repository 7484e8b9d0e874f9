"""What every command says and how it ends.

Promises: with `--json` exactly one JSON document on stdout and nothing else there; text for people otherwise; notices,
progress and logs on stderr; exit codes 0 done, 1 refused, 2 wrong usage, 3 unavailable. Must not know any house.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import msgspec
import typer

from omnilab.errors import OmniLabError, OutcomeUnknownError, UnavailableError
from omnilab.telemetry.redaction import mask, mask_shapes

if TYPE_CHECKING:
    from rich.console import RenderableType

    from omnilab.cli.session import Session

T = TypeVar("T")

DONE, REFUSED, USAGE, UNAVAILABLE = 0, 1, 2, 3

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]
People = Callable[[T], "RenderableType | None"]


def run(
    ctx: typer.Context,
    action: Callable[[Session], Awaitable[T]],
    *,
    as_json: bool,
    people: People[T] | None = None,
    failed: Callable[[T], bool] | None = None,
    restored: bool = False,
) -> None:
    """Open a session, do one action and show what it gave; a refusal becomes words and an exit code.

    `people` turns the value into what a person reads (a text or a Rich renderable); without it a mapping is shown line
    by line. `failed` tells from the value that part of the work was refused: the value is shown, the exit code is 1.
    `restored`: it only looks, so a database that is not reconciled yet will do.
    """
    import asyncio

    from omnilab.cli.session import open_session

    async def act() -> T:
        async with open_session(ctx, restored=restored) as session:
            return await action(session)

    with answering(as_json):
        value = asyncio.run(act())
        emit(value, as_json=as_json, people=people)
        if failed is not None and failed(value):
            raise typer.Exit(REFUSED)


def emit(value: T, *, as_json: bool, people: People[T] | None = None) -> None:
    """Show one value on stdout: as one line of JSON, or as people's text."""
    if as_json:
        _write_line(msgspec.json.encode(value).decode())
        return
    shown = people(value) if people is not None else describe(value)
    if isinstance(shown, str):
        _write_line(shown)
    elif shown is not None:
        _console_print(shown)


@contextmanager
def answering(as_json: bool) -> Iterator[None]:
    """Turn an error of the block into words and an exit code. A defect is unavailable (3), never a bare traceback."""
    try:
        yield
    except OmniLabError as error:
        code = UNAVAILABLE if isinstance(error, UnavailableError) else REFUSED
        words = error.detail
        if isinstance(error, UnavailableError) and error.reason != error.code:
            # An operator sits here, not a stranger: the private reason is what helps.
            is_unknown = isinstance(error, OutcomeUnknownError)
            done = "look whether this was done before you repeat it" if is_unknown else "nothing was done"
            words = f"Unavailable, {done}: {error.reason}"
        elif error.errors and error.code != "settings_invalid":
            words += "".join(f"\n  {each.field}: {each.detail}" for each in error.errors)
        fail(error.code, words, exit_code=code, as_json=as_json)
    except (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError):
        raise
    except ModuleNotFoundError as error:
        words = f"This command needs {error.name}, which is not installed: pip install 'omnilab[server]'."
        fail("not_installed", words, exit_code=UNAVAILABLE, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last resort of a program: say it in words, keep the trace on stderr
        import traceback

        notice(mask("".join(traceback.format_exception(error))))
        fail("internal_error", f"A defect stopped this command ({type(error).__name__}); its trace is on stderr.")


def fail(code: str, message: str, *, exit_code: int = UNAVAILABLE, as_json: bool | None = None) -> NoReturn:
    """Say why the command ends, and end it. `as_json` defaults to whether `--json` was typed.

    Masked, for the message may quote an argument, and whoever mixed up two arguments may have typed a secret.
    """
    message = mask_shapes(message)
    if asked_for_json() if as_json is None else as_json:
        _write_line(msgspec.json.encode({"error": {"code": code, "message": message}}).decode())
    else:
        notice(f"Error: {message}")
    raise typer.Exit(exit_code)


def asked_for_json(arguments: Sequence[str] | None = None) -> bool:
    """Whether `--json` stands on the command line, for errors that come before it is parsed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments


def notice(text: str) -> None:
    """A line for people on stderr."""
    sys.stderr.write(text.rstrip("\n") + "\n")
    sys.stderr.flush()


def describe(value: object) -> str:
    """A mapping or record line by line, names first."""
    plain = msgspec.to_builtins(value)
    if not isinstance(plain, Mapping):
        return str(plain)
    width = max((len(str(name)) for name in plain), default=0)
    return "\n".join(f"{name!s:<{width}}  {_in_words(each)}" for name, each in plain.items())


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "Nothing here yet.") -> str:
    """Rows under headings, aligned; never wrapped or cut, so that it can be searched and copied."""
    if not rows:
        return empty
    texts = [[_in_words(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in (headings, *texts)) for column in range(len(headings))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in texts]
    head = "  ".join(f"{name.upper():<{width}}" for name, width in zip(headings, widths, strict=True))
    return "\n".join(line.rstrip() for line in (head, *lines))


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show how far a long command is, on stderr and only on a terminal. Gives `advance(steps)`."""
    if not sys.stderr.isatty():
        yield lambda _steps: None
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(show_speed=True),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(label, total=total)
        yield lambda steps: display.advance(task, steps)


def _in_words(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_in_words(each)}" for name, each in value.items()) or "–"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_in_words(each) for each in value) or "–"
    return str(value)


def _write_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _console_print(renderable: RenderableType) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # a pipe has no width: nothing may be wrapped or cut
    console.print(renderable)
