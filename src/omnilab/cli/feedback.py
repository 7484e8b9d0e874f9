"""`omnilab feedback …`: what readers say of the help centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from omnilab.cli.output import JsonFlag, run, table
from omnilab.cli.session import Session

app = typer.Typer(no_args_is_help=True)
_DAY_MS = 86_400_000


@app.callback()
def _feedback() -> None:
    """What readers say of the help centre."""


@app.command("list")
def list_(
    ctx: typer.Context,
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="Of the last so many days.")] = 30,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    as_json: JsonFlag = False,
) -> None:
    """The newest feedback first: page, whether it helped, and the comment."""

    async def action(session: Session) -> dict[str, Any]:
        since_ms = session.platform.clock.now_ms() - days * _DAY_MS
        return {"feedback": await session.platform.feedback.list(since_ms=since_ms, at_most=limit)}

    run(ctx, action, as_json=as_json, people=_in_words)


def _in_words(document: dict[str, Any]) -> str:
    rows: list[Sequence[object]] = []
    for each in document["feedback"]:
        helpful = "yes" if each["helpful"] else "no"
        rows.append([each["created_at"], f"/docs/{each['page']}", helpful, _one_line(each["comment"] or "")])
    return table(("when", "page", "helpful", "comment"), rows, empty="No feedback.")


def _one_line(comment: str) -> str:
    """A stranger's text as part of a row: nothing in it breaks the line or steers the terminal."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in comment).split())
