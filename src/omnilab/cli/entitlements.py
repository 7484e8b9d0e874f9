"""`omnilab entitlements …`."""

from __future__ import annotations

from typing import Annotated

import typer

from omnilab.cli.output import JsonFlag, run
from omnilab.cli.provisioning_text import Document, columns, rights_changed
from omnilab.cli.session import Session

app = typer.Typer(no_args_is_help=True)

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's key.")]
Endpoints = Annotated[list[str], typer.Argument(metavar="ENDPOINT…", help="Endpoint names such as bookings:create.")]


@app.command("allow")
def allow(ctx: typer.Context, tenant: Tenant, endpoints: Endpoints, as_json: JsonFlag = False) -> None:
    """Entitle a tenant to endpoints: its clients may then be granted them."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.entitlements.allow(tenant, endpoints, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: rights_changed(tenant, "allowed", endpoints, done))


@app.command("withdraw")
def withdraw(ctx: typer.Context, tenant: Tenant, endpoints: Endpoints, as_json: JsonFlag = False) -> None:
    """Take entitlements back: within a second no client of the tenant may call these endpoints."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.entitlements.withdraw(tenant, endpoints, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: rights_changed(tenant, "withdrawn", endpoints, done))


@app.command("list")
def list_all(ctx: typer.Context, tenant: Tenant, as_json: JsonFlag = False) -> None:
    """List what a tenant may be granted at most."""

    async def action(session: Session) -> Document:
        return {"entitlements": await session.platform.tenancy.entitlements.list_all(tenant)}

    run(ctx, action, as_json=as_json, people=_show_list)


def _show_list(answer: Document) -> str:
    found = answer["entitlements"]
    assert isinstance(found, list)
    return columns(found, "tenant", "endpoint", "created_at", empty="The tenant is entitled to nothing.")
