"""`omnilab demo`: a development environment with real bookings, a curl session to paste, and a server.

Safe to repeat: tenants and bookings are kept, the demo's clients get a new secret each (a secret is shown only once)
and lose the one of the run before.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from omnilab.audit.model import Actor
from omnilab.bookings.model.booking import CONFIRMED, ListFilters, ListQuery
from omnilab.cli import demo_data
from omnilab.cli.bookings import import_file
from omnilab.cli.demo_session import Demo, curl_session
from omnilab.cli.init import initialised
from omnilab.cli.output import JsonFlag, answering, emit, notice
from omnilab.cli.serve import become_server
from omnilab.cli.session import Session, open_session
from omnilab.errors import ProvisioningError
from omnilab.installation import Installation
from omnilab.serving.listening import Listeners
from omnilab.settings import load_settings
from omnilab.tenancy.model.orders import NewClient, NewTenant

app = typer.Typer()

CLIENT_NAME = "Demo backend"
SECRET_LABEL = "demo"
ENDPOINTS = ("bookings:cancel", "bookings:create", "bookings:read")
HOST = "127.0.0.1"
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Found:
    """A contact with two bookings that can still be cancelled."""

    external_id: str
    booking_ids: tuple[str, str]


@app.command("demo")
def demo(
    ctx: typer.Context,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to serve on.")] = 8080,
    as_json: JsonFlag = False,
) -> None:
    """Set up a development environment with 14,938 real bookings, print a curl session, and serve."""
    with answering(as_json):
        Listeners(HOST, port, 1).close()  # taken? Then say so before a minute of work
        # The demo speaks of the port it serves on, whatever an earlier run on another one has kept.
        os.environ.setdefault("OMNILAB_PUBLIC_URL", f"http://{HOST}:{port}")
        shown = asyncio.run(_prepare(ctx, port))
        emit(shown, as_json=as_json, people=lambda document: str(document["session"]))
        become_server(HOST, port, 1, as_json=False)


async def _prepare(ctx: typer.Context, port: int) -> Document:
    settings = load_settings(make_master_key=True)
    if settings.environment != "development":
        raise ProvisioningError("development_only", "The demo is for development environments only.")
    await initialised(ctx, settings)
    async with open_session(ctx) as session:
        await _fill(session)
        clients = [await _client(session.platform, hotel.tenant, session.actor) for hotel in demo_data.HOTELS.values()]
        found = await _cancellable(session.platform)
    demo = Demo(
        url=f"http://{HOST}:{port}",
        client=clients[0],
        other_client=clients[1],
        external_id=found.external_id,
        booking_ids=found.booking_ids,
    )
    return {"url": demo.url, "clients": clients, "session": curl_session(demo)}


async def _fill(session: Session) -> None:
    """Tenants and bookings, as far as they are not there yet."""
    tenants = session.platform.tenancy.tenants
    known = {str(each["tenant"]) for each in await tenants.list_all()}
    with TemporaryDirectory(prefix="omnilab-demo-") as folder:
        for tenant, path in demo_data.write_files(Path(folder)).items():
            if tenant not in known:
                name = next(hotel.name for hotel in demo_data.HOTELS.values() if hotel.tenant == tenant)
                await tenants.create(NewTenant(tenant=tenant, name=name), actor=session.actor)
            done = await import_file(session, path, tenant)
            notice(f"{tenant}: {done['imported']:,} bookings imported, {done['skipped']:,} were there already.")


async def _client(platform: Installation, tenant: str, actor: Actor) -> Document:
    """The tenant's demo client with a live secret, as `clients create` shows it."""
    clients, secrets = platform.tenancy.clients, platform.tenancy.secrets
    known = [each for each in await clients.list_all(tenant=tenant) if each["name"] == CLIENT_NAME]
    if not known:
        order = NewClient(tenant=tenant, name=CLIENT_NAME, allow=ENDPOINTS, label=SECRET_LABEL)
        return (await clients.create(order, actor=actor)).document()
    client_id = str(known[0]["client_id"])
    earlier = [each for each in await secrets.list_all(client_id) if each["label"] == SECRET_LABEL]
    issued = (await secrets.add(client_id, label=SECRET_LABEL, actor=actor)).document()
    for each in earlier:
        if each["revoked_at"] is None:
            await secrets.revoke(client_id, str(each["secret_id"]), actor=actor)
    shared = ("audience", "base_url", "token_url", "issuer", "allowed")
    return issued | {name: known[0][name] for name in shared}


async def _cancellable(platform: Installation) -> _Found:
    """The first guest of the first hotel who still has two confirmed bookings."""
    hotel_name, hotel = next(iter(demo_data.HOTELS.items()))
    tenant_id = await platform.tenancy.tenants.get_id(hotel.tenant)
    confirmed = ListFilters(statuses=(CONFIRMED,))
    for guest in sorted({row["external_id"] for row in demo_data.convert(hotel_name)}):
        rows, _ = await platform.bookings.list_bookings(tenant_id, ListQuery(guest, filters=confirmed))
        if len(rows) >= 2:
            return _Found(guest, (str(rows[0][0]), str(rows[1][0])))
    raise ProvisioningError(
        "demo_used_up", "Every demo booking is cancelled: remove the directory .omnilab and run the demo again."
    )
