"""`omnilab tenants …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnilab.cli.output import JsonFlag, describe, progress, run
from omnilab.cli.provisioning_text import Document, columns, switched
from omnilab.cli.session import Session
from omnilab.tenancy.model.orders import NewTenant, TenantChange

app = typer.Typer(no_args_is_help=True)

Key = Annotated[str, typer.Argument(metavar="KEY", help="The tenant's key: a DNS label of 3 to 40 characters.")]
TokenQuota = Annotated[
    str | None, typer.Option("--token-quota", help="Tokens for the whole tenant: 600/minute, or default.")
]
ApiQuota = Annotated[
    str | None, typer.Option("--api-quota", help="API calls of the whole tenant: 6000/minute, or default.")
]


@app.command("create")
def create(
    ctx: typer.Context,
    key: Key,
    name: Annotated[str, typer.Option("--name", help="The customer's name.")],
    token_quota: TokenQuota = None,
    api_quota: ApiQuota = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a tenant with its default audience, entitled to bookings:read and bookings:cancel."""

    async def action(session: Session) -> Document:
        order = NewTenant(tenant=key, name=name, token_quota=token_quota, api_quota=api_quota)
        return await session.platform.tenancy.tenants.create(order, actor=session.actor)

    run(ctx, action, as_json=as_json, people=show_tenant)


@app.command("list")
def list_all(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List all tenants."""

    async def action(session: Session) -> Document:
        return {"tenants": await session.platform.tenancy.tenants.list_all()}

    run(ctx, action, as_json=as_json, people=_show_list)


@app.command("show")
def show(ctx: typer.Context, key: Key, as_json: JsonFlag = False) -> None:
    """Show one tenant with its audiences and entitlements."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.tenants.get(key)

    run(ctx, action, as_json=as_json, people=show_tenant)


@app.command("update")
def update(
    ctx: typer.Context,
    key: Key,
    name: Annotated[str | None, typer.Option("--name", help="The customer's name.")] = None,
    token_quota: TokenQuota = None,
    api_quota: ApiQuota = None,
    as_json: JsonFlag = False,
) -> None:
    """Change only what is given."""

    async def action(session: Session) -> Document:
        change = TenantChange(name=name, token_quota=token_quota, api_quota=api_quota)
        return await session.platform.tenancy.tenants.update(key, change, actor=session.actor)

    run(ctx, action, as_json=as_json, people=show_tenant)


@app.command("suspend")
def suspend(ctx: typer.Context, key: Key, as_json: JsonFlag = False) -> None:
    """Refuse all of the tenant's tokens and calls within a second, until it is restored."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.tenants.suspend(key, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: switched(f"The tenant {key}", done))


@app.command("restore")
def restore(ctx: typer.Context, key: Key, as_json: JsonFlag = False) -> None:
    """Take a suspension back; tokens that have not expired pass again."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.tenants.restore(key, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: switched(f"The tenant {key}", done))


@app.command("export")
def export(
    ctx: typer.Context,
    key: Key,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")],
    as_json: JsonFlag = False,
) -> None:
    """Write all that is kept of a tenant as JSON lines: its set-up, bookings and audit records; never a secret."""
    from omnilab.cli.tenant_export import export_tenant

    async def action(session: Session) -> Document:
        with progress("Exporting") as advance:
            return await export_tenant(session, key, file, advance=advance)

    run(ctx, action, as_json=as_json)


@app.command("delete")
def delete(
    ctx: typer.Context,
    key: Key,
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, for good.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """End a tenant for good with all it has; its key is never used again, its audit records stay and verify."""

    async def action(session: Session) -> Document:
        actor, deletion = session.actor, session.platform.tenancy.deletion
        with progress("Removing") as advance:
            return await deletion.delete(key, confirmed=confirm, actor=actor, advance=advance)

    run(ctx, action, as_json=as_json)


def show_tenant(tenant: Document) -> str:
    """A tenant for people."""
    audiences = tenant["audiences"]
    uris = [each["audience"] for each in audiences] if isinstance(audiences, list) else []
    return describe({**tenant, "audiences": uris})


def _show_list(answer: Document) -> str:
    tenants = answer["tenants"]
    assert isinstance(tenants, list)
    return columns(
        tenants, "tenant", "name", "status", "token_quota", "api_quota", "created_at", empty="No tenants yet."
    )
