"""`omnilab grants …`."""

from __future__ import annotations

from typing import Annotated

import typer

from omnilab.cli.output import JsonFlag, run
from omnilab.cli.provisioning_text import Document, columns, rights_changed
from omnilab.cli.session import Session

app = typer.Typer(no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The client's id.")]
Endpoints = Annotated[list[str], typer.Argument(metavar="ENDPOINT…", help="Endpoint names such as bookings:read.")]


@app.command("allow")
def allow(ctx: typer.Context, client_id: ClientId, endpoints: Endpoints, as_json: JsonFlag = False) -> None:
    """Grant a client endpoints that its tenant is entitled to."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.grants.allow(client_id, endpoints, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: rights_changed(client_id, "allowed", endpoints, done))


@app.command("withdraw")
def withdraw(ctx: typer.Context, client_id: ClientId, endpoints: Endpoints, as_json: JsonFlag = False) -> None:
    """Take grants back: within a second tokens issued earlier are refused there too."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.grants.withdraw(client_id, endpoints, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: rights_changed(client_id, "withdrawn", endpoints, done))


@app.command("list")
def list_all(ctx: typer.Context, client_id: ClientId, as_json: JsonFlag = False) -> None:
    """List what a client may call; a grant counts only while its tenant is entitled to it."""

    async def action(session: Session) -> Document:
        return {"grants": await session.platform.tenancy.grants.list_all(client_id)}

    run(ctx, action, as_json=as_json, people=_show_list)


def _show_list(answer: Document) -> str:
    found = answer["grants"]
    assert isinstance(found, list)
    return columns(found, "endpoint", "entitled", "created_at", empty="The client is granted nothing.")
