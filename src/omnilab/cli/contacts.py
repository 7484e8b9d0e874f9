"""`omnilab contacts …`: personal data of one contact."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from omnilab.cli.output import JsonFlag, run
from omnilab.cli.session import Session

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _contacts() -> None:
    """One contact's personal data."""


@app.command("erase")
def erase(
    ctx: typer.Context,
    external_id: Annotated[str, typer.Argument(metavar="EXTERNAL_ID", help="The contact, as the tenant calls it.")],
    tenant: Annotated[str, typer.Option("--tenant", metavar="KEY", help="The tenant's key.")],
    as_json: JsonFlag = False,
) -> None:
    """Remove a contact's bookings and kept answers for good, and free the places; the audit never knew who it is."""

    async def action(session: Session) -> dict[str, Any]:
        from omnilab.bookings.service import ErasureOrder

        actor = session.actor
        tenant_id, contact_key = await session.platform.tenancy.contact_key(tenant)
        order = ErasureOrder(tenant_id=tenant_id, tenant=tenant, contact_key=contact_key, external_id=external_id)
        return {"tenant": tenant} | await session.platform.erasure.erase(order, actor=actor)

    run(ctx, action, as_json=as_json)
