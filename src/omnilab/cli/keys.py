"""`omnilab keys …`: the signing keys, and moving on to the next ones."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from omnilab.cli.output import JsonFlag, notice, run, table
from omnilab.cli.session import Session

app = typer.Typer(no_args_is_help=True)

_HEADINGS = ("key_id", "algorithm", "status", "created_at", "activated_at", "retired_at")


@app.command("list")
def list_keys(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the signing keys: next (published, not yet used), current (signs), retired (verifies only)."""

    async def action(session: Session) -> dict[str, Any]:
        return {"keys": await session.platform.keys.list_documents()}

    run(ctx, action, as_json=as_json, people=_show)


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    now: Annotated[
        bool,
        typer.Option("--now", help="Do not wait until verifiers surely know the next keys; some may refuse tokens."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Sign with the next keys from now on, and publish new next ones.

    Refused while the next keys are younger than verifiers may hold the JWKS (300 s). The old keys verify until their
    last token has expired, so no token is lost.
    """

    async def action(session: Session) -> dict[str, Any]:
        await session.platform.keys.rotate(actor=session.actor, at_once=now)
        return {"keys": await session.platform.keys.list_documents()}

    run(ctx, action, as_json=as_json, people=_show)
    if now:
        notice("Rotated at once: verifiers that hold an older JWKS may refuse new tokens for up to 300 seconds.")


def _show(found: dict[str, Any]) -> str:
    return table(_HEADINGS, [[key[name] for name in _HEADINGS] for key in found["keys"]])
