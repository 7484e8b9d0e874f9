"""What the snapshot holds in memory: entries by id, by key and by digest, all in plain dictionaries.

Every operation is one step without a pause, so a reader never meets a half-done replacement.
A client entry whose tenant was replaced is put under the new tenant when it is next asked for; where the new tenant
is not in memory the client entry counts as absent. That makes a tenant's change cost the same with ten clients and
ten thousand.
"""

from __future__ import annotations

from omnilab.tenancy.entries import ClientEntry, SecretEntry, TenantEntry


class Picture:
    """Tenants, clients and credentials in memory; the least recently asked for come first."""

    __slots__ = ("_client_by_digest", "_tenant_by_key", "clients", "tenants")

    def __init__(self) -> None:
        self.tenants: dict[str, TenantEntry] = {}
        self.clients: dict[str, ClientEntry] = {}
        self._tenant_by_key: dict[str, TenantEntry] = {}
        self._client_by_digest: dict[bytes, str] = {}

    def tenant(self, key: str) -> TenantEntry | None:
        """The tenant with this key."""
        return self._tenant_by_key.get(key)

    def client(self, client_id: str, *, touch: bool = False) -> ClientEntry | None:
        """The client with this id, under the tenant entry that counts now. `touch` notes that it was asked for."""
        client = self.clients.get(client_id)
        if client is None:
            return None
        tenant = self.tenants.get(client.tenant.tenant_id)
        if tenant is not client.tenant:
            if tenant is None:
                self.drop_client(client_id)
                return None
            client = self.clients[client_id] = client.under(tenant)
        if touch:
            del self.clients[client_id]
            self.clients[client_id] = client
        return client

    def credential(self, digest: bytes, *, touch: bool = False) -> tuple[ClientEntry, SecretEntry] | None:
        """The client and its credential with this digest."""
        client_id = self._client_by_digest.get(digest)
        client = None if client_id is None else self.client(client_id, touch=touch)
        if client is None:
            return None
        secret = client.secret_by_digest(digest)
        return None if secret is None else (client, secret)

    def put_tenant(self, tenant: TenantEntry) -> None:
        """Add or replace a tenant."""
        self.tenants.pop(tenant.tenant_id, None)
        self.tenants[tenant.tenant_id] = tenant
        self._tenant_by_key[tenant.tenant] = tenant

    def drop_tenant(self, tenant_id: str) -> None:
        """Forget a tenant; its clients count as absent from now on."""
        tenant = self.tenants.pop(tenant_id, None)
        if tenant is not None:
            self._tenant_by_key.pop(tenant.tenant, None)

    def put_client(self, client: ClientEntry) -> None:
        """Add or replace a client with its credentials."""
        self.drop_client(client.client_id)
        self.clients[client.client_id] = client
        for secret in client.secrets:
            self._client_by_digest[secret.digest] = client.client_id

    def drop_client(self, client_id: str) -> None:
        """Forget a client and its credentials."""
        client = self.clients.pop(client_id, None)
        if client is not None:
            for secret in client.secrets:
                self._client_by_digest.pop(secret.digest, None)

    def shrink(self, limit: int) -> None:
        """Forget what was asked for longest ago until at most `limit` clients and as many tenants are left."""
        while len(self.clients) > limit:
            self.drop_client(next(iter(self.clients)))
        while len(self.tenants) > limit:
            self.drop_tenant(next(iter(self.tenants)))
