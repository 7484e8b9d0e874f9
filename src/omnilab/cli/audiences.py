"""`omnilab audiences …`."""

from __future__ import annotations

from typing import Annotated

import typer

from omnilab.cli.output import JsonFlag, run
from omnilab.cli.provisioning_text import Document, columns
from omnilab.cli.session import Session
from omnilab.tenancy.model.nouns import DEFAULT_ALGORITHM, DEFAULT_LIFETIME_SECONDS
from omnilab.tenancy.model.orders import AudienceChange, NewAudience

app = typer.Typer(no_args_is_help=True)

Tenant = Annotated[str, typer.Option("--tenant", metavar="KEY", help="The tenant's key.")]
Uri = Annotated[str, typer.Argument(metavar="URI", help="The audience: the URI of the API.")]
_ALGORITHM = typer.Option("--alg", help="How its tokens are signed: ES256, RS256 or EdDSA.")
_LIFETIME = typer.Option("--lifetime-seconds", min=1, max=86_400, help="How long its tokens live.")
_ENDPOINTS = typer.Option("--endpoint", metavar="NAME", help="An endpoint of this API; may repeat.")


@app.command("create")
def create(
    ctx: typer.Context,
    uri: Uri,
    tenant: Tenant,
    algorithm: Annotated[str, _ALGORITHM] = DEFAULT_ALGORITHM,
    lifetime_seconds: Annotated[int, _LIFETIME] = DEFAULT_LIFETIME_SECONDS,
    endpoint: Annotated[list[str] | None, _ENDPOINTS] = None,
    as_json: JsonFlag = False,
) -> None:
    """Add an API that the tenant's clients may ask tokens for."""

    async def action(session: Session) -> Document:
        order = NewAudience(
            audience=uri,
            algorithm=algorithm,
            lifetime_seconds=lifetime_seconds,
            endpoints=tuple(endpoint or ()),
        )
        return await session.platform.tenancy.audiences.create(tenant, order, actor=session.actor)

    run(ctx, action, as_json=as_json)


@app.command("update")
def update(
    ctx: typer.Context,
    uri: Uri,
    tenant: Tenant,
    algorithm: Annotated[str | None, _ALGORITHM] = None,
    lifetime_seconds: Annotated[int | None, _LIFETIME] = None,
    endpoint: Annotated[list[str] | None, _ENDPOINTS] = None,
    as_json: JsonFlag = False,
) -> None:
    """Change only what is given; --endpoint replaces the whole list. The default audience too."""

    async def action(session: Session) -> Document:
        change = AudienceChange(
            algorithm=algorithm,
            lifetime_seconds=lifetime_seconds,
            endpoints=tuple(endpoint) if endpoint else None,
        )
        return await session.platform.tenancy.audiences.update(tenant, uri, change, actor=session.actor)

    run(ctx, action, as_json=as_json)


@app.command("list")
def list_all(ctx: typer.Context, tenant: Tenant, as_json: JsonFlag = False) -> None:
    """List the APIs of a tenant, the default one first."""

    async def action(session: Session) -> Document:
        return {"audiences": await session.platform.tenancy.audiences.list_all(tenant)}

    run(ctx, action, as_json=as_json, people=_show_list)


def _show_list(answer: Document) -> str:
    found = answer["audiences"]
    assert isinstance(found, list)
    return columns(found, "audience", "algorithm", "lifetime_seconds", "endpoints", "default", empty="No audiences.")
