"""Tenants that use each other's ids: one to be spied on, one that spies, and the spy's twin who guesses.

The spy sends values of the victim, its twin values of the same form that nobody ever used. Both have lived the same
life otherwise, so whatever their answers differ in tells something of the victim.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnilab.crypto.secret import Secret
from omnilab.tenancy.model.orders import LegacyCredential
from tests.tokens.running import ACTOR, Running

EVERY_GRANT = ("bookings:read", "bookings:cancel", "bookings:create")
DOMAIN = "example.com"
START, END = "2030-01-01T10:00:00Z", "2030-01-01T11:00:00Z"
# Kinds of values that callers choose; of each there are so many.
CHOSEN = ("external_id", "interaction_id", "booking_id", "slot_id", "event_id", "idempotency_key", "words")
OF_EACH = 3
# Request ids, and what is random in ids and tokens that the service makes.
_MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f-]{17}|eyJ[0-9A-Za-z_.-]+")


@dataclass
class Rival:
    """One tenant: what it is called, its clients, and the values it uses. `mark` is in each of these."""

    tenant: str
    mark: str
    client: dict[str, Any] = field(default_factory=dict)
    reader: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    reader_token: str = ""
    tenant_id: str = ""

    @property
    def host(self) -> str:
        return f"{self.tenant}.api.{DOMAIN}"

    @property
    def legacy_id(self) -> str:
        """A client id of an earlier system, which anybody may guess."""
        return f"legacy-{self.mark}"

    def chosen(self, kind: str, number: int) -> str:
        """The same order among the values of every rival, so that lists are sorted alike."""
        return f"{kind[:3]}-{number}-{self.mark}"

    def names(self) -> dict[str, str]:
        """Every value that is this tenant's, by what it is."""
        chosen = {f"{kind}/{number}": self.chosen(kind, number) for kind in CHOSEN for number in range(OF_EACH)}
        made = {
            "client_id": self.client["client_id"],
            "secret_id": self.client["secret_id"],
            "reader_id": self.reader["client_id"],
            "reader_secret_id": self.reader["secret_id"],
            "legacy_id": self.legacy_id,
            "audience": self.client["audience"],
            "host": self.host,
            "tenant": self.tenant,
            "tenant_id": self.tenant_id,
        }
        return chosen | made


def without_names(text: str, **rivals: Rival) -> str:
    """A text without what is random, and with every rival's values replaced by what they are."""
    pairs = [(value, f"<{role} {name}>") for role, rival in rivals.items() for name, value in rival.names().items()]
    for value, name in sorted(pairs, key=lambda pair: -len(pair[0])):
        text = text.replace(value, name)
    return _MADE.sub("<made>", text)


def stranger_like(victim: Rival) -> Rival:
    """A tenant that does not exist, with names of the same form and order as the victim's."""

    def other(text: str) -> str:
        return text[:-2] + ("zz" if text[-2:] != "zz" else "yy")

    stranger = Rival(tenant=victim.tenant.translate(str.maketrans("v", "w")), mark="nobody-nobody")
    stranger.client = victim.client | {name: other(victim.client[name]) for name in ("client_id", "secret_id")}
    stranger.client["audience"] = f"https://{stranger.host}"
    stranger.reader = victim.reader | {name: other(victim.reader[name]) for name in ("client_id", "secret_id")}
    stranger.tenant_id = other(victim.tenant_id)
    assert len(stranger.mark) == len(victim.mark)
    return stranger


async def settle_in(it: Running, rival: Rival) -> Rival:
    """Make the tenant with two clients, one of an earlier system too, and get their tokens."""
    tenancy = it.platform.tenancy
    rival.client = await it.add_client(rival.tenant, name=f"backend of {rival.mark}")
    await tenancy.entitlements.allow(rival.tenant, EVERY_GRANT, actor=ACTOR)
    await tenancy.grants.allow(rival.client["client_id"], EVERY_GRANT, actor=ACTOR)
    rival.reader = await it.add_client(rival.tenant, name=f"reader of {rival.mark}", allow=EVERY_GRANT[:1])
    legacy = LegacyCredential(
        tenant=rival.tenant,
        client_id=rival.legacy_id,
        client_secret=Secret(f"an-earlier-secret-of-{rival.mark}"),
        audience=None,
        allowed=EVERY_GRANT[:1],
        expires_at=it.clock.now_ms() + 10**9,
    )
    await tenancy.imports.add(legacy, actor=ACTOR)
    await it.settle()
    rival.token = (await it.ask(rival.client)).json()["access_token"]
    rival.reader_token = (await it.ask(rival.reader)).json()["access_token"]
    await it.platform.secret_use.flush()
    ((rival.tenant_id,),) = rows_where(it, "SELECT tenant_id FROM tenants WHERE tenant = ?", rival.tenant)
    return rival


def database_of(it: Running) -> Path:
    return Path(it.platform.settings.database_url.removeprefix("sqlite:///"))


def rows_where(it: Running, query: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database_of(it))) as connection:
        return connection.execute(query, values).fetchall()


def state_of(it: Running, rival: Rival) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the database that belongs to a tenant, by table."""
    tables = "SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE c.name = 'tenant_id' AND m.type = ?"
    names = [name for (name,) in rows_where(it, tables, "table")]
    assert {"bookings", "slots", "clients", "secrets", "audit_records", "idempotency_records"} <= set(names)
    query = "SELECT * FROM {} WHERE tenant_id = ?"
    return {name: sorted(rows_where(it, query.format(name), rival.tenant_id), key=repr) for name in names}


def slot_of(rival: Rival, number: int, **members: Any) -> dict[str, Any]:
    """The body that books the rival's slot of this number."""
    chosen: Callable[[str], str] = lambda kind: rival.chosen(kind, number)  # noqa: E731
    return {
        "external_id": chosen("external_id"),
        "interaction_id": chosen("interaction_id"),
        "event_id": chosen("event_id"),
        "slot_id": chosen("slot_id"),
        "slot_start_date": START,
        "slot_end_date": END,
        "event_title": f"title of {rival.mark}",
        "event_location": f"place of {rival.mark}",
        "booking_id": chosen("booking_id"),
    } | members


def one_line(value: object) -> str:
    return json.dumps(value, sort_keys=True)
