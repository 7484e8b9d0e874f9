"""The picture of tenants and clients in memory that every decision is made from, kept fresh by the change feed.

Complete while the installation has at most `max_clients` clients; above that a bounded cache in front of the
database, looked up by the secret's digest, so that an unknown client and a wrong secret are the same miss.
Readers get whole entries, old or new. Nothing here decides; nothing here writes to the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from omnilab.errors import UnavailableError
from omnilab.storage.changes import Change
from omnilab.storage.database import Reader
from omnilab.tenancy.entries import AudienceEntry, ClientEntry, SecretEntry, TenantEntry, bind_client
from omnilab.tenancy.picture import Picture
from omnilab.tenancy.store.entries import EntryReader

__all__ = ["AudienceEntry", "ClientEntry", "Feed", "SecretEntry", "Snapshot", "TenantEntry"]

# Beyond this many touched entries, reading everything anew is cheaper than reading one by one.
_RELOAD_ABOVE = 2_000


class Feed(Protocol):
    """What the snapshot asks of the change feed (`omnilab.storage.changes.ChangeFeed`)."""

    def fresh(self) -> bool: ...

    async def catch_up(self) -> None: ...


class Snapshot:
    """Finds tenants, clients and credentials.

    Every `find_…` raises UnavailableError when neither the lease nor the database can vouch for the answer.
    """

    def __init__(
        self, reader: Reader, *, open_contact_key: Callable[[str, bytes], bytes], max_clients: int = 200_000
    ) -> None:
        self._entries = EntryReader(reader, open_contact_key)
        self._max_clients = max_clients
        self._picture = Picture()
        self._complete = False
        self._feed: Feed | None = None
        # Counts replacements: what was read from the database before one must not be kept after it.
        self._generation = 0
        self._replacing = asyncio.Lock()

    def follow(self, feed: Feed) -> None:
        """Name the feed that calls `apply` and `apply_all`; until then nothing can be found."""
        self._feed = feed

    @property
    def complete(self) -> bool:
        """True while every client is in memory."""
        return self._complete

    def __len__(self) -> int:
        """How many clients are in memory."""
        return len(self._picture.clients)

    async def ensure_fresh(self) -> Feed:
        """Make sure that memory may be trusted now. Raises UnavailableError."""
        feed = self._feed
        if feed is None:
            raise UnavailableError("the snapshot follows no change feed")
        if not feed.fresh():
            await feed.catch_up()
        return feed

    async def catch_up(self) -> None:
        """Take in every change that was committed before this call. Raises UnavailableError."""
        if self._feed is None:
            raise UnavailableError("the snapshot follows no change feed")
        await self._feed.catch_up()

    def known_credential(self, client_id: str, digest: bytes) -> tuple[ClientEntry, SecretEntry] | None:
        """`find_credential` where memory may be trusted and has it; None says nothing."""
        feed = self._feed
        if feed is None or not feed.fresh():
            return None
        found = self._picture.credential(digest, touch=not self._complete)
        return found if found is not None and found[0].client_id == client_id else None

    async def find_credential(self, client_id: str, digest: bytes) -> tuple[ClientEntry, SecretEntry] | None:
        """The client and the credential with this digest, in whatever state; None for a wrong one.

        The digest is bound to the client id, so an unknown client and a wrong secret take the same way through here.
        """
        feed = self._feed
        if feed is None or not feed.fresh():
            feed = await self.ensure_fresh()
        found = self._picture.credential(digest, touch=not self._complete)
        if found is None:
            found = await self._credential_after_miss(feed, digest)
        return found if found is not None and found[0].client_id == client_id else None

    async def find_client(self, client_id: str) -> ClientEntry | None:
        """The client with this id, disabled ones included."""
        feed = self._feed
        if feed is None or not feed.fresh():
            feed = await self.ensure_fresh()
        found = self._picture.client(client_id, touch=not self._complete)
        if found is not None:
            return found
        if self._complete:
            # Made a moment ago, perhaps: memory may be up to a lease behind.
            await feed.catch_up()
            found = self._picture.client(client_id)
        if found is None and not self._complete:
            found = await self._read_client(await self._entries.find_owner(client_id), client_id)
        return found

    async def find_tenant(self, key: str) -> TenantEntry | None:
        """The tenant with this key, suspended ones included."""
        feed = self._feed
        if feed is None or not feed.fresh():
            feed = await self.ensure_fresh()
        found = self._picture.tenant(key)
        if found is not None:
            return found
        if self._complete:
            await feed.catch_up()
            found = self._picture.tenant(key)
        if found is None and not self._complete:
            found = await self._read_tenant(await self._entries.find_tenant_id(key))
        return found

    async def load(self) -> None:
        """Read everything anew. Readers keep the old picture until the new one is whole."""
        async with self._replacing:
            await self._load()

    async def apply_all(self) -> None:
        """For the feed, when changes may have been missed: `load`."""
        await self.load()

    async def apply(self, changes: Sequence[Change]) -> None:
        """Bring what these changes touched up to date."""
        tenants = dict.fromkeys(change.tenant_id for change in changes if change.kind == "tenant")
        clients = dict.fromkeys(
            (change.tenant_id, change.client_id) for change in changes if change.kind == "client" and change.client_id
        )
        # One at a time: of two replacements the one that read first must not be the one that writes last.
        async with self._replacing:
            if len(tenants) + len(clients) > _RELOAD_ABOVE:
                await self._load()
                return
            self._generation += 1
            for tenant_id in tenants:
                await self._refresh_tenant(tenant_id)
            for tenant_id, client_id in clients:
                await self._refresh_client(tenant_id, str(client_id))
            self._bound()

    async def _load(self) -> None:
        self._generation += 1
        complete = await self._entries.count_clients(self._max_clients + 1) <= self._max_clients
        picture = Picture()
        if complete:
            for tenant in await self._entries.read_tenants():
                picture.put_tenant(tenant)
            async for clients in self._entries.read_clients(picture.tenants):
                for client in clients:
                    picture.put_client(client)
                await asyncio.sleep(0)  # let requests pass between two pages
        self._picture, self._complete = picture, complete

    async def _refresh_tenant(self, tenant_id: str) -> None:
        if not self._complete:
            # Clients under the dropped entry no longer match it and are read again when asked for.
            self._picture.drop_tenant(tenant_id)
        elif (tenant := await self._entries.read_tenant(tenant_id)) is None:
            self._picture.drop_tenant(tenant_id)
        else:
            self._picture.put_tenant(tenant)

    async def _refresh_client(self, tenant_id: str, client_id: str) -> None:
        tenant = self._picture.tenants.get(tenant_id)
        client = None
        if self._complete and tenant is not None:
            client = await self._entries.read_client(tenant, client_id)
        if client is None:
            self._picture.drop_client(client_id)
        else:
            self._picture.put_client(client)

    def _bound(self) -> None:
        if len(self._picture.clients) > self._max_clients:
            self._complete = False
            self._picture.shrink(self._max_clients)

    async def _credential_after_miss(self, feed: Feed, digest: bytes) -> tuple[ClientEntry, SecretEntry] | None:
        if self._complete:
            await feed.catch_up()
            found = self._picture.credential(digest)
            if found is not None or self._complete:
                return found
        owner = await self._entries.find_credential_owner(digest)
        client = None if owner is None else await self._read_client(owner[0], owner[1])
        secret = None if client is None else client.secret_by_digest(digest)
        return None if client is None or secret is None else (client, secret)

    async def _read_tenant(self, tenant_id: str | None) -> TenantEntry | None:
        """A tenant from the database, kept unless something changed while it was read."""
        if tenant_id is None:
            return None
        generation = self._generation
        tenant = await self._entries.read_tenant(tenant_id)
        if tenant is not None and generation == self._generation:
            self._picture.put_tenant(tenant)
            self._picture.shrink(self._max_clients)
        return tenant

    async def _read_client(self, tenant_id: str | None, client_id: str) -> ClientEntry | None:
        """A client from the database, kept unless something changed while it was read."""
        if tenant_id is None:
            return None
        generation = self._generation
        tenant = self._picture.tenants.get(tenant_id) or await self._read_tenant(tenant_id)
        client = None if tenant is None else await self._entries.read_client(tenant, client_id)
        if client is None or tenant is None:
            return None
        current = self._picture.tenants.get(tenant_id)
        if generation == self._generation:
            self._picture.put_client(client)
            self._picture.shrink(self._max_clients)
        elif current is not None and current is not tenant:
            client = bind_client(client, current)
        return client
