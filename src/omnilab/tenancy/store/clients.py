"""Clients' rows. `ClientDirectory` spans tenants and is for operators' doors only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, literal_column, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Row, Statement
from omnilab.tenancy.model.nouns import Client
from omnilab.tenancy.tables import client_directory, clients, entitlements, grants, tenants

_SPACE: Any = literal_column("' '")
_GRANTED = (
    select(func.aggregate_strings(grants.c.endpoint, _SPACE))
    .where(grants.c.tenant_id == clients.c.tenant_id, grants.c.client_id == clients.c.client_id)
    .scalar_subquery()
)
_ENTITLED = (
    select(func.aggregate_strings(entitlements.c.endpoint, _SPACE))
    .where(entitlements.c.tenant_id == clients.c.tenant_id)
    .scalar_subquery()
)
_COLUMNS = (
    select(
        clients.c.tenant_id, tenants.c.tenant, clients.c.client_id, clients.c.name, clients.c.status,
        clients.c.audiences, clients.c.partner, clients.c.technical_contact, clients.c.token_quota,
        clients.c.api_quota, clients.c.created_at, clients.c.token_addresses, clients.c.api_addresses,
        _GRANTED, _ENTITLED,
    )
    .join(tenants, tenants.c.tenant_id == clients.c.tenant_id)
    .where(clients.c.status != "deleted")
)  # fmt: skip
_BY_ID = Statement(
    _COLUMNS.join(
        client_directory,
        (client_directory.c.tenant_id == clients.c.tenant_id) & (client_directory.c.client_id == clients.c.client_id),
    ).where(client_directory.c.client_id == bindparam("wanted")),
    "wanted",
)
_SORTED = _COLUMNS.order_by(tenants.c.tenant, clients.c.created_at, clients.c.client_id)
_ALL = Statement(_SORTED)
_OF_PARTNER = Statement(_SORTED.where(clients.c.partner == bindparam("of_partner")), "of_partner")
_OF_TENANT = Statement(_SORTED.where(clients.c.tenant_id == bindparam("of_tenant")), "of_tenant")
_OF_BOTH = Statement(
    _SORTED.where(clients.c.tenant_id == bindparam("of_tenant"), clients.c.partner == bindparam("of_partner")),
    "of_tenant",
    "of_partner",
)
_OWNER = Statement(
    select(client_directory.c.tenant_id).where(client_directory.c.client_id == bindparam("wanted")), "wanted"
)
_MINE = (clients.c.tenant_id == bindparam("of_tenant"), clients.c.client_id == bindparam("wanted"))
_UPDATE = Statement(
    update(clients)
    .where(*_MINE)
    .values(
        name=bindparam("new_name"),
        audiences=bindparam("new_audiences"),
        technical_contact=bindparam("new_contact"),
        token_quota=bindparam("new_token"),
        api_quota=bindparam("new_api"),
        token_addresses=bindparam("new_token_addresses"),
        api_addresses=bindparam("new_api_addresses"),
    ),
    "new_name",
    "new_audiences",
    "new_contact",
    "new_token",
    "new_api",
    "new_token_addresses",
    "new_api_addresses",
    "of_tenant",
    "wanted",
)
_SET_STATUS = Statement(
    update(clients).where(*_MINE).values(status=bindparam("new_status")), "new_status", "of_tenant", "wanted"
)


class ClientDirectory:
    """Looks clients up across tenants."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(self, client_id: str) -> Client | None:
        """The client with this id, whosever it is."""
        row = await self._reader.fetch_one(_BY_ID, client_id)
        return None if row is None else _client(row)

    async def find_owner(self, client_id: str) -> str | None:
        """The tenant id of a client id, whatever became of the client."""
        row = await self._reader.fetch_one(_OWNER, client_id)
        return None if row is None else str(row[0])

    async def list_all(self, *, tenant_id: str | None = None, partner: str | None = None) -> list[Client]:
        """Clients by tenant and age, of one tenant and one partner if given."""
        if tenant_id is not None and partner is not None:
            rows = await self._reader.fetch(_OF_BOTH, tenant_id, partner)
        elif tenant_id is not None:
            rows = await self._reader.fetch(_OF_TENANT, tenant_id)
        elif partner is not None:
            rows = await self._reader.fetch(_OF_PARTNER, partner)
        else:
            rows = await self._reader.fetch(_ALL)
        return [_client(row) for row in rows]


class ClientStore:
    """Changes one tenant's clients."""

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        self._tx = tx
        self._tenant_id = tenant_id

    async def insert(self, *made: Client) -> None:
        """Add clients with their entries in the directory. Raises DuplicateRowError when an id is taken."""
        await self._tx.insert_rows(client_directory, [(client.client_id, self._tenant_id) for client in made])
        await self._tx.insert_rows(clients, [client_row(self._tenant_id, client) for client in made])

    async def update(self, client: Client) -> None:
        """Write what can change of a client."""
        await self._tx.execute(
            _UPDATE,
            client.name,
            " ".join(sorted(client.audiences)),
            client.technical_contact,
            client.token_quota,
            client.api_quota,
            client.token_addresses,
            client.api_addresses,
            self._tenant_id,
            client.client_id,
        )

    async def set_status(self, client_id: str, status: str) -> None:
        """`active` or `disabled`."""
        await self._tx.execute(_SET_STATUS, status, self._tenant_id, client_id)


def client_row(tenant_id: str, client: Client) -> tuple[object, ...]:
    """A whole row in the table's column order."""
    return (
        tenant_id, client.client_id, client.name, client.status, " ".join(sorted(client.audiences)), client.partner,
        client.technical_contact, client.token_quota, client.api_quota, client.created_at,
        client.token_addresses, client.api_addresses,
    )  # fmt: skip


def _client(row: Row) -> Client:
    granted, entitled = row[13] or "", row[14] or ""
    return Client(
        tenant_id=row[0],
        tenant=row[1],
        client_id=row[2],
        name=row[3],
        status=row[4],
        audiences=tuple(row[5].split()),
        partner=row[6],
        technical_contact=row[7],
        token_quota=row[8],
        api_quota=row[9],
        created_at=row[10],
        token_addresses=row[11],
        api_addresses=row[12],
        grants=tuple(sorted(granted.split())),
        entitlements=frozenset(entitled.split()),
    )
