"""`omnilab secrets …`."""

from __future__ import annotations

from typing import Annotated

import typer

from omnilab.cli.output import JsonFlag, run
from omnilab.cli.provisioning_text import Document, columns, shown_once, switched
from omnilab.cli.session import Session
from omnilab.tenancy.model.rules import RuleError, duration_seconds

app = typer.Typer(no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The client's id.")]


@app.command("add")
def add(
    ctx: typer.Context,
    client_id: ClientId,
    label: Annotated[str | None, typer.Option("--label", help="What tells this secret from the others.")] = None,
    expires_in: Annotated[str | None, typer.Option("--expires-in", help="90d and the like; units s m h d.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a client one more secret, shown this once. The others go on working."""
    seconds = _seconds(expires_in)

    async def action(session: Session) -> Document:
        issued = await session.platform.tenancy.secrets.add(
            client_id, label=label, expires_in_seconds=seconds, actor=session.actor
        )
        return issued.document()

    run(ctx, action, as_json=as_json, people=shown_once)


@app.command("list")
def list_all(ctx: typer.Context, client_id: ClientId, as_json: JsonFlag = False) -> None:
    """List a client's secrets with their use: watch here whether callers have moved to a new one."""

    async def action(session: Session) -> Document:
        return {"secrets": await session.platform.tenancy.secrets.list_all(client_id)}

    run(ctx, action, as_json=as_json, people=_show_list)


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    client_id: ClientId,
    secret_id: Annotated[str, typer.Argument(metavar="SECRET_ID", help="The secret's id, sec_…")],
    as_json: JsonFlag = False,
) -> None:
    """End a secret for good, and within a second every token issued on it."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.secrets.revoke(client_id, secret_id, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: switched(f"The secret {secret_id}", done))


def _seconds(text: str | None) -> int | None:
    try:
        return None if text is None else duration_seconds(text)
    except RuleError as error:
        raise typer.BadParameter(error.detail, param_hint="--expires-in") from None


def _show_list(answer: Document) -> str:
    found = answer["secrets"]
    assert isinstance(found, list)
    return columns(
        found, "secret_id", "label", "status", "created_at", "expires_at", "last_used_at", "last_address", "use_count",
        "exposed_at", empty="The client has no secrets.",
    )  # fmt: skip
