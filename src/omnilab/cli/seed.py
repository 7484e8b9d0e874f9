"""`omnilab seed`: bulk data for tests and benchmarks, in development only.

Totals are spread evenly over the tenants `seed-00001`…; a later run goes on with the next number. A tenant's bookings
belong to contacts `contact-1`…, three each, in slots of a hundred; the same numbers always make the same bookings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer

from omnilab.bookings.service import ImportTarget
from omnilab.bookings.service.seeding import BookingSeeder, SeedPart
from omnilab.cli.output import JsonFlag, progress, run
from omnilab.cli.seed_data import seeded_bookings, seeded_slots
from omnilab.cli.session import Session
from omnilab.errors import ProvisioningError
from omnilab.tenancy.model.orders import NewClient, NewTenant

app = typer.Typer()

ENDPOINTS = ("bookings:cancel", "bookings:create", "bookings:read")
# What goes into one transaction: enough that its fsync weighs nothing, little enough to keep memory flat.
TENANTS_PER_WRITE, CLIENTS_PER_WRITE, BOOKINGS_PER_WRITE = 200, 500, 10_000

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How much, and the number of the first tenant."""

    tenants: int
    clients: int
    bookings: int
    first: int

    @property
    def tenant_keys(self) -> list[str]:
        return [_key(self.first + place) for place in range(self.tenants)]

    def share(self, total: int, place: int) -> int:
        """How many of `total` fall to the tenant at this place: the first ones take what does not divide."""
        return total // self.tenants + (place < total % self.tenants)


@app.command("seed")
def seed(
    ctx: typer.Context,
    tenants: Annotated[int, typer.Option("--tenants", min=1, max=90_000, help="How many tenants.")] = 2,
    clients: Annotated[int, typer.Option("--clients", min=0, help="How many clients in all.")] = 10,
    bookings: Annotated[int, typer.Option("--bookings", min=0, help="How many bookings in all.")] = 1_000,
    credentials_file: Annotated[
        Path | None, typer.Option("--credentials-file", help="Where the clients' credentials go, one object a line.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Add bulk data: tenants, clients with every grant, and bookings, spread evenly (development only)."""

    async def action(session: Session) -> dict[str, Any]:
        if session.settings.environment != "development":
            raise ProvisioningError("development_only", "Bulk data is for development environments only.")
        plan = _Plan(tenants, clients, bookings, first=await _first_free(session))
        with progress("Seeding", tenants + clients + bookings) as advance:
            await _seed_tenants(session, plan, advance)
            with _credentials(credentials_file) as keep:
                await _seed_clients(session, plan, keep, advance)
            await _seed_bookings(session, plan, advance)
        made = {"tenants": tenants, "clients": clients, "bookings": bookings}
        return made | {"credentials_file": str(credentials_file) if credentials_file else None}

    run(ctx, action, as_json=as_json, people=_in_words)


def _key(number: int) -> str:
    return f"seed-{number:05d}"


async def _first_free(session: Session) -> int:
    """The first number that no earlier run has used."""
    taken = {str(each["tenant"]) for each in await session.platform.tenancy.tenants.list_all()}
    number = 1
    while _key(number) in taken:
        number += 1
    return number


async def _seed_tenants(session: Session, plan: _Plan, advance: Advance) -> None:
    orders = [NewTenant(tenant=key, name=f"Tenant {key}") for key in plan.tenant_keys]
    for start in range(0, len(orders), TENANTS_PER_WRITE):
        part = orders[start : start + TENANTS_PER_WRITE]
        await session.platform.tenancy.bulk.create_tenants(part, actor=session.actor)
        advance(len(part))


async def _seed_clients(
    session: Session, plan: _Plan, keep: Callable[[dict[str, object]], None], advance: Advance
) -> None:
    orders: list[NewClient] = []
    for place, key in enumerate(plan.tenant_keys):
        for number in range(1, plan.share(plan.clients, place) + 1):
            orders.append(NewClient(tenant=key, name=f"Client {number}", allow=ENDPOINTS))
            if len(orders) == CLIENTS_PER_WRITE:
                await _write_clients(session, orders, keep, advance)
                orders = []
    await _write_clients(session, orders, keep, advance)


async def _write_clients(
    session: Session, orders: list[NewClient], keep: Callable[[dict[str, object]], None], advance: Advance
) -> None:
    if orders:
        for issued in await session.platform.tenancy.bulk.create_clients(orders, actor=session.actor):
            keep(issued.document())
        advance(len(orders))


@contextmanager
def _credentials(path: Path | None) -> Iterator[Callable[[dict[str, object]], None]]:
    """Where new credentials go: a file only its owner can read, or nowhere."""
    if path is None:
        yield lambda _document: None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)  # the file may have been there with another mode
        file: IO[bytes] = os.fdopen(descriptor, "wb")
    except OSError as error:
        raise ProvisioningError("file_not_writable", f"{path} cannot be written: {error.strerror}.") from error
    with file:
        yield lambda document: _write_line(file, document)


def _write_line(file: IO[bytes], document: dict[str, object]) -> None:
    file.write(msgspec.json.encode(document) + b"\n")


async def _seed_bookings(session: Session, plan: _Plan, advance: Advance) -> None:
    platform = session.platform
    seeder = BookingSeeder(platform.db, platform.clock, platform.audit, platform.ids)
    waiting: list[SeedPart] = []
    for place, key in enumerate(plan.tenant_keys):
        count = plan.share(plan.bookings, place)
        tenant_id = await platform.tenancy.tenants.get_id(key)
        for part in _parts(session, str(tenant_id), key, count):
            waiting.append(part)
            if sum(len(each.bookings) for each in waiting) >= BOOKINGS_PER_WRITE:
                await _write_bookings(seeder, waiting, advance)
                waiting = []
    await _write_bookings(seeder, waiting, advance)


async def _write_bookings(seeder: BookingSeeder, parts: list[SeedPart], advance: Advance) -> None:
    if parts:
        await seeder.add(parts)
        advance(sum(len(each.bookings) for each in parts))


def _parts(session: Session, tenant_id: str, tenant: str, count: int) -> Iterator[SeedPart]:
    """A tenant's bookings in parts of one write; its slots come with the first."""
    target = ImportTarget(tenant_id, tenant, session.actor, "seed")
    slots = seeded_slots(count)
    now_ms = session.platform.clock.now_ms()
    for start in range(0, count, BOOKINGS_PER_WRITE):
        numbers = range(start, min(start + BOOKINGS_PER_WRITE, count))
        yield SeedPart(target, slots if start == 0 else (), seeded_bookings(numbers, slots, now_ms))


def _in_words(made: dict[str, Any]) -> str:
    words = f"{made['tenants']:,} tenants, {made['clients']:,} clients and {made['bookings']:,} bookings added."
    if made["credentials_file"]:
        words += f"\nThe clients' credentials are in {made['credentials_file']}; only you can read it."
    return words
