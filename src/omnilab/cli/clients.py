"""`omnilab clients …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnilab.cli.output import JsonFlag, describe, progress, run
from omnilab.cli.provisioning_text import Document, HandOffFlag, columns, link_shown_once, shown_once, switched
from omnilab.cli.session import Session
from omnilab.tenancy.model.orders import ClientChange, NewClient

app = typer.Typer(no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The client's id.")]
_AUDIENCES = typer.Option("--audience", metavar="URI", help="An API it may ask tokens for; may repeat.")
_CONTACT = typer.Option("--technical-contact", metavar="MAIL", help="Whom to write to about this client.")
_PARTNER = typer.Option("--partner", metavar="NAME", help="The outside company that runs it.")
_TOKEN_QUOTA = typer.Option("--token-quota", help="Tokens for this client: 600/minute, or default.")
_API_QUOTA = typer.Option("--api-quota", help="API calls of this client: 6000/minute, or default.")

_TOKEN_ADDRESS = typer.Option(
    "--allow-token-address", metavar="CIDR", help="From where it may ask for tokens; may repeat; any = from anywhere."
)
_API_ADDRESS = typer.Option(
    "--allow-api-address", metavar="CIDR", help="From where it may call the API; may repeat; any = from anywhere."
)


@app.command("create")
def create(
    ctx: typer.Context,
    tenant: Annotated[str, typer.Option("--tenant", metavar="KEY", help="Whose client it is.")],
    name: Annotated[str, typer.Option("--name", help="What the client is, for people.")],
    audience: Annotated[list[str] | None, _AUDIENCES] = None,
    allow: Annotated[list[str] | None, typer.Option("--allow", metavar="ENDPOINT", help="May repeat.")] = None,
    partner: Annotated[str | None, _PARTNER] = None,
    technical_contact: Annotated[str | None, _CONTACT] = None,
    token_quota: Annotated[str | None, _TOKEN_QUOTA] = None,
    api_quota: Annotated[str | None, _API_QUOTA] = None,
    token_address: Annotated[list[str] | None, _TOKEN_ADDRESS] = None,
    api_address: Annotated[list[str] | None, _API_ADDRESS] = None,
    hand_off: HandOffFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a client with its first secret, shown this once, or with a one-time link to it (--hand-off).

    In development --allow also entitles the tenant; elsewhere the tenant must be entitled first.
    """

    async def action(session: Session) -> Document:
        order = NewClient(
            tenant=tenant,
            name=name,
            audiences=tuple(audience or ()),
            allow=tuple(allow or ()),
            partner=partner,
            technical_contact=technical_contact,
            token_quota=token_quota,
            api_quota=api_quota,
            token_addresses=tuple(token_address or ()),
            api_addresses=tuple(api_address or ()),
        )
        clients = session.platform.tenancy.clients
        if hand_off:
            return await clients.create_for_hand_off(order, actor=session.actor)
        return (await clients.create(order, actor=session.actor)).document()

    run(ctx, action, as_json=as_json, people=link_shown_once if hand_off else shown_once)


@app.command("list")
def list_all(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="KEY", help="Only this tenant's.")] = None,
    partner: Annotated[str | None, typer.Option("--partner", metavar="NAME", help="Only this partner's.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List clients, of all tenants unless told otherwise."""

    async def action(session: Session) -> Document:
        return {"clients": await session.platform.tenancy.clients.list_all(tenant=tenant, partner=partner)}

    run(ctx, action, as_json=as_json, people=_show_list)


@app.command("show")
def show(ctx: typer.Context, client_id: ClientId, as_json: JsonFlag = False) -> None:
    """Show one client; its secrets stand in `secrets list`."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.clients.get(client_id)

    run(ctx, action, as_json=as_json)


@app.command("update")
def update(
    ctx: typer.Context,
    client_id: ClientId,
    name: Annotated[str | None, typer.Option("--name", help="What the client is, for people.")] = None,
    audience: Annotated[list[str] | None, _AUDIENCES] = None,
    technical_contact: Annotated[str | None, _CONTACT] = None,
    token_quota: Annotated[str | None, _TOKEN_QUOTA] = None,
    api_quota: Annotated[str | None, _API_QUOTA] = None,
    token_address: Annotated[list[str] | None, _TOKEN_ADDRESS] = None,
    api_address: Annotated[list[str] | None, _API_ADDRESS] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change only what is given; --audience and the address lists replace the whole list."""

    async def action(session: Session) -> Document:
        change = ClientChange(
            name=name,
            audiences=tuple(audience) if audience else None,
            technical_contact=technical_contact,
            token_quota=token_quota,
            api_quota=api_quota,
            token_addresses=tuple(token_address) if token_address else None,
            api_addresses=tuple(api_address) if api_address else None,
        )
        return await session.platform.tenancy.clients.update(client_id, change, actor=session.actor)

    run(ctx, action, as_json=as_json)


@app.command("disable")
def disable(
    ctx: typer.Context,
    client_id: Annotated[str | None, typer.Argument(metavar="CLIENT_ID", help="The client's id.")] = None,
    partner: Annotated[
        str | None, typer.Option("--partner", metavar="NAME", help="All clients of this partner, in every tenant.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Refuse a client's tokens and calls within a second, until it is enabled; or all clients of a partner."""
    if (client_id is None) == (partner is None):
        raise typer.BadParameter("Give either a CLIENT_ID or --partner NAME.", param_hint="CLIENT_ID")

    async def action(session: Session) -> Document:
        verbs = session.platform.tenancy.clients
        if client_id is not None:
            return await verbs.disable(client_id, actor=session.actor)
        return {"clients": await verbs.disable_partner(str(partner), actor=session.actor)}

    run(ctx, action, as_json=as_json, people=_show_disabled)


@app.command("enable")
def enable(ctx: typer.Context, client_id: ClientId, as_json: JsonFlag = False) -> None:
    """Take `disable` back; tokens that have not expired pass again."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.clients.enable(client_id, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: switched(f"The client {client_id}", done))


@app.command("import")
def import_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header, or JSON lines; UTF-8.")],
    as_json: JsonFlag = False,
) -> None:
    """Take over an earlier system's credentials; the same file twice changes nothing.

    Columns: tenant, client_id, client_secret, audience (empty = the default one), allowed, legacy_expires_at.
    Refused rows go to FILE.rejected.jsonl, without their secrets; the exit code is 1 then.
    """

    async def action(session: Session) -> Document:
        with progress("Importing credentials") as advance:
            return await session.platform.tenancy.imports.add_file(file, actor=session.actor, advance=advance)

    run(ctx, action, as_json=as_json, people=describe, failed=lambda done: bool(done["rejected"]))


def _show_list(answer: Document) -> str:
    found = answer["clients"]
    assert isinstance(found, list)
    return columns(
        found, "client_id", "tenant", "name", "status", "partner", "allowed", "created_at", empty="No clients yet."
    )


def _show_disabled(answer: Document) -> str:
    found = answer.get("clients", [answer])
    assert isinstance(found, list)
    return "\n".join(switched(f"The client {each['client_id']} of {each['tenant']}", each) for each in found)
