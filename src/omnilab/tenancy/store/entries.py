"""Reads entries for the snapshot, across tenants.

One statement reads one whole entry (or a page of whole entries), so an entry is never put together from two moments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Select, Subquery, and_, bindparam, func, literal_column, select, tuple_

from omnilab.storage.database import Reader
from omnilab.storage.statement import Row, Statement
from omnilab.storage.tables import PLATFORM_TENANT
from omnilab.tenancy.entries import (
    AudienceEntry,
    ClientEntry,
    SecretEntry,
    TenantEntry,
    allowed_of,
    pick_audiences,
)
from omnilab.tenancy.model.networks import read_networks
from omnilab.tenancy.tables import audiences, client_directory, clients, entitlements, grants, secrets, tenants

_PAGE = 5_000
_CLIENT_COLUMNS = 10  # of a row: what comes before the secret's
# Beyond this the distinct sets are no longer few, and keeping them all to share them would be a leak.
_SHARED_SETS = 10_000
# Written out: a bound separator is no constant to the database, and the statement would need it at every call.
_SPACE: Any = literal_column("' '")


def _tenant_rows() -> Select[tuple[object, ...]]:
    """One row an audience (or one without): the tenant's columns, its entitlements as one text, the audience's."""
    entitled = (
        select(func.aggregate_strings(entitlements.c.endpoint, _SPACE))
        .where(entitlements.c.tenant_id == tenants.c.tenant_id)
        .scalar_subquery()
    )
    return (
        select(
            tenants.c.tenant_id, tenants.c.tenant, tenants.c.name, tenants.c.status, tenants.c.token_quota,
            tenants.c.api_quota, tenants.c.sealed_contact_key, entitled,
            audiences.c.audience, audiences.c.algorithm, audiences.c.lifetime_seconds, audiences.c.endpoints,
        )
        .outerjoin(audiences, audiences.c.tenant_id == tenants.c.tenant_id)
        .where(tenants.c.tenant_id != PLATFORM_TENANT, tenants.c.status != "deleted")
        .order_by(tenants.c.tenant_id)
    )  # fmt: skip


def _client_rows(source: Subquery) -> Select[tuple[object, ...]]:
    """One row a secret (or one without): the client's columns, its grants as one text, the secret's."""
    granted = (
        select(func.aggregate_strings(grants.c.endpoint, _SPACE))
        .where(grants.c.tenant_id == source.c.tenant_id, grants.c.client_id == source.c.client_id)
        .scalar_subquery()
    )
    same = and_(secrets.c.tenant_id == source.c.tenant_id, secrets.c.client_id == source.c.client_id)
    return (
        select(
            source.c.tenant_id, source.c.client_id, source.c.name, source.c.status, source.c.audiences,
            source.c.token_quota, source.c.api_quota, source.c.token_addresses, source.c.api_addresses, granted,
            secrets.c.secret_id, secrets.c.label, secrets.c.digest, secrets.c.legacy, secrets.c.created_at,
            secrets.c.expires_at, secrets.c.revoked_at, secrets.c.exposed_at,
        )
        .select_from(source.outerjoin(secrets, same))
        .order_by(source.c.tenant_id, source.c.client_id, secrets.c.created_at)
    )  # fmt: skip


_KEY = tuple_(clients.c.tenant_id, clients.c.client_id)
_TENANTS = Statement(_tenant_rows())
_TENANT = Statement(_tenant_rows().where(tenants.c.tenant_id == bindparam("wanted")), "wanted")
_CLIENT = Statement(
    _client_rows(
        select(clients)
        .where(
            clients.c.tenant_id == bindparam("of_tenant"),
            clients.c.client_id == bindparam("wanted"),
            clients.c.status != "deleted",
        )
        .subquery()
    ),
    "of_tenant",
    "wanted",
)
_CLIENTS = Statement(
    _client_rows(
        select(clients)
        .where(tuple_(bindparam("after_tenant"), bindparam("after_client")) < _KEY, clients.c.status != "deleted")
        .order_by(clients.c.tenant_id, clients.c.client_id)
        .limit(_PAGE)
        .subquery()
    ),
    "after_tenant",
    "after_client",
)
_COUNT = Statement(
    select(func.count()).select_from(select(clients.c.client_id).limit(bindparam("at_most")).subquery()), "at_most"
)
_OWNER = Statement(
    select(client_directory.c.tenant_id).where(client_directory.c.client_id == bindparam("wanted")), "wanted"
)
_KEY_OWNER = Statement(select(tenants.c.tenant_id).where(tenants.c.tenant == bindparam("wanted")), "wanted")
_CREDENTIAL = Statement(
    select(secrets.c.tenant_id, secrets.c.client_id).where(secrets.c.digest == bindparam("wanted")), "wanted"
)


class EntryReader:
    """Builds entries from rows; equal sets of endpoints are one object in memory."""

    def __init__(self, reader: Reader, open_contact_key: Callable[[str, bytes], bytes]) -> None:
        self._reader = reader
        self._open_contact_key = open_contact_key
        self._sets: dict[str, frozenset[str]] = {}
        self._equal_sets: dict[frozenset[str], frozenset[str]] = {}

    async def count_clients(self, at_most: int) -> int:
        """How many clients there are, counting no further than `at_most`."""
        row = await self._reader.fetch_one(_COUNT, at_most)
        return int(row[0]) if row else 0

    async def read_tenants(self) -> list[TenantEntry]:
        """All tenants but the platform's own."""
        rows = await self._reader.fetch(_TENANTS)
        return [self._tenant(list(group)) for _, group in groupby(rows, itemgetter(0))]

    async def read_tenant(self, tenant_id: str) -> TenantEntry | None:
        """One tenant."""
        rows = await self._reader.fetch(_TENANT, tenant_id)
        return self._tenant(rows) if rows else None

    async def read_clients(self, known: dict[str, TenantEntry]) -> AsyncIterator[list[ClientEntry]]:
        """All clients of the given tenants (by tenant id), a page at a time."""
        after = ("", "")
        while rows := await self._reader.fetch(_CLIENTS, *after):
            after = (rows[-1][0], rows[-1][1])
            yield list(self._clients(rows, known))

    async def read_client(self, tenant: TenantEntry, client_id: str) -> ClientEntry | None:
        """One client of one tenant."""
        rows = await self._reader.fetch(_CLIENT, tenant.tenant_id, client_id)
        return self._client(rows, tenant) if rows else None

    async def find_owner(self, client_id: str) -> str | None:
        """The tenant id of a client."""
        row = await self._reader.fetch_one(_OWNER, client_id)
        return None if row is None else str(row[0])

    async def find_tenant_id(self, key: str) -> str | None:
        """The tenant id of a tenant key."""
        row = await self._reader.fetch_one(_KEY_OWNER, key)
        return None if row is None else str(row[0])

    async def find_credential_owner(self, digest: bytes) -> tuple[str, str] | None:
        """Tenant id and client id of the credential with this digest."""
        row = await self._reader.fetch_one(_CREDENTIAL, digest)
        return None if row is None else (str(row[0]), str(row[1]))

    def _clients(self, rows: list[Row], known: dict[str, TenantEntry]) -> Iterator[ClientEntry]:
        for (tenant_id, _), group in groupby(rows, itemgetter(0, 1)):
            tenant = known.get(tenant_id)
            if tenant is not None:
                yield self._client(list(group), tenant)

    def _tenant(self, rows: list[Row]) -> TenantEntry:
        tenant_id, key, name, status, token_quota, api_quota, sealed, entitled = rows[0][:8]
        entry = TenantEntry()
        entry.tenant_id = tenant_id
        entry.tenant = key
        entry.name = name
        entry.active = status == "active"
        entry.entitlements = self._set(entitled)
        entry.memo = {}
        entry.token_quota = token_quota
        entry.api_quota = api_quota
        entry.contact_key = self._open_contact_key(tenant_id, sealed)
        entry.audiences = {
            uri: AudienceEntry(uri, algorithm=algorithm, lifetime_seconds=lifetime, endpoints=self._set(endpoints))
            for *_, uri, algorithm, lifetime, endpoints in rows
            if uri is not None
        }
        return entry

    def _client(self, rows: list[Row], tenant: TenantEntry) -> ClientEntry:
        _, client_id, name, status, uris, token_quota, api_quota, *lists, granted = rows[0][:_CLIENT_COLUMNS]
        entry = ClientEntry()
        entry.client_id = client_id
        entry.name = name
        entry.active = status == "active"
        entry.tenant = tenant
        entry.audiences = pick_audiences(tenant, uris.split())
        entry.grants = self._set(granted)
        entry.allowed = self._shared(allowed_of(entry.grants, tenant))
        entry.secrets = tuple(_secrets(rows))
        entry.token_quota = token_quota
        entry.api_quota = api_quota
        entry.token_networks, entry.api_networks = (read_networks(text) for text in lists)
        entry.memo = {}
        return entry

    def _set(self, text: str | None) -> frozenset[str]:
        """A space-separated list as a set, shared with everyone who has the same text."""
        found = self._sets.get(text or "")
        if found is None:
            if len(self._sets) > _SHARED_SETS:
                self._sets.clear()
            found = self._sets[text or ""] = self._shared(frozenset((text or "").split()))
        return found

    def _shared(self, items: frozenset[str]) -> frozenset[str]:
        if len(self._equal_sets) > _SHARED_SETS:
            self._equal_sets.clear()
        return self._equal_sets.setdefault(items, items)


def _secrets(rows: Iterable[Row]) -> Iterator[SecretEntry]:
    for row in rows:
        secret_id, label, digest, legacy, created_at, expires_at, revoked_at, exposed_at = row[_CLIENT_COLUMNS:]
        if secret_id is not None:
            entry = SecretEntry()
            entry.secret_id = secret_id
            entry.label = label
            entry.digest = digest
            entry.legacy = bool(legacy)
            entry.created_at = created_at
            entry.expires_at = expires_at
            entry.revoked_at = revoked_at
            entry.exposed_at = exposed_at
            yield entry
