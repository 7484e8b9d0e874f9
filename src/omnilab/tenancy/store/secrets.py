"""Credentials: their digests and dates, and how often each was used. Never their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, bindparam, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Row, Statement
from omnilab.tenancy.model.nouns import ClientSecret
from omnilab.tenancy.tables import secret_use, secrets, tenants

_MINE = (secrets.c.tenant_id == bindparam("of_tenant"), secrets.c.client_id == bindparam("of_client"))
_THIS = (*_MINE, secrets.c.secret_id == bindparam("wanted"))
_COLUMNS = (
    select(
        secrets.c.secret_id, secrets.c.label, secrets.c.legacy, secrets.c.created_at, secrets.c.expires_at,
        secrets.c.revoked_at, secrets.c.exposed_at, secret_use.c.use_count, secret_use.c.last_used_at,
        secret_use.c.last_address, secrets.c.overlap_seconds,
    )
    .outerjoin(
        secret_use,
        and_(secret_use.c.tenant_id == secrets.c.tenant_id, secret_use.c.secret_id == secrets.c.secret_id),
    )
    .where(*_MINE)
)  # fmt: skip
_LIST = Statement(_COLUMNS.order_by(secrets.c.created_at, secrets.c.secret_id), "of_tenant", "of_client")
_FIND = Statement(_COLUMNS.where(secrets.c.secret_id == bindparam("wanted")), "of_tenant", "of_client", "wanted")
_BY_DIGEST = Statement(_COLUMNS.where(secrets.c.digest == bindparam("wanted")), "of_tenant", "of_client", "wanted")
_REVOKE = Statement(
    update(secrets).where(*_THIS).values(revoked_at=bindparam("now_ms")), "now_ms", "of_tenant", "of_client", "wanted"
)
_SUPERSEDE = Statement(
    update(secrets).where(*_MINE, secrets.c.revoked_at.is_(None)).values(overlap_seconds=bindparam("new_overlap")),
    "new_overlap",
    "of_tenant",
    "of_client",
)
_EXPOSE = Statement(
    update(secrets).where(*_THIS, secrets.c.exposed_at.is_(None)).values(exposed_at=bindparam("now_ms")),
    "now_ms",
    "of_tenant",
    "of_client",
    "wanted",
)
_CLEAR_EXPOSED = Statement(
    update(secrets).where(*_THIS).values(exposed_at=bindparam("none")), "none", "of_tenant", "of_client", "wanted"
)
_ADD_UP = (
    "ON CONFLICT (tenant_id, secret_id) DO UPDATE SET"
    " use_count = secret_use.use_count + excluded.use_count,"
    " last_address = CASE WHEN excluded.last_used_at >= secret_use.last_used_at"
    " THEN excluded.last_address ELSE secret_use.last_address END,"
    " last_used_at = CASE WHEN excluded.last_used_at >= secret_use.last_used_at"
    " THEN excluded.last_used_at ELSE secret_use.last_used_at END"
)


_DIGESTS = Statement(
    select(
        tenants.c.tenant, secrets.c.client_id, secrets.c.secret_id, secrets.c.digest, secrets.c.expires_at,
        secrets.c.revoked_at,
    ).join(tenants, tenants.c.tenant_id == secrets.c.tenant_id)
)  # fmt: skip


class DigestRow(NamedTuple):
    """A credential of anybody's, to be recognised by its digest."""

    tenant: str
    client_id: str
    secret_id: str
    digest: bytes
    expires_at: int | None
    revoked_at: int | None


class SecretReader:
    """Reads the credentials of one tenant's clients."""

    def __init__(self, reader: Reader, tenant_id: str) -> None:
        self._reader = reader
        self._tenant_id = tenant_id

    async def list_all(self, client_id: str) -> list[ClientSecret]:
        """All credentials of a client, oldest first."""
        return [_secret(row) for row in await self._reader.fetch(_LIST, self._tenant_id, client_id)]

    async def find(self, client_id: str, secret_id: str) -> ClientSecret | None:
        """One credential."""
        row = await self._reader.fetch_one(_FIND, self._tenant_id, client_id, secret_id)
        return None if row is None else _secret(row)

    async def find_by_digest(self, client_id: str, digest: bytes) -> ClientSecret | None:
        """The credential with this digest."""
        row = await self._reader.fetch_one(_BY_DIGEST, self._tenant_id, client_id, digest)
        return None if row is None else _secret(row)


class SecretStore(SecretReader):
    """Changes the credentials of one tenant's clients."""

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        super().__init__(tx, tenant_id)
        self._tx = tx

    async def insert(self, *made: tuple[str, ClientSecret, bytes]) -> None:
        """Add credentials, each with its client id and its digest."""
        await self._tx.insert_rows(secrets, [secret_row(self._tenant_id, *each) for each in made])

    async def revoke(self, client_id: str, secret_id: str, now_ms: int) -> None:
        """Final: nothing takes it back."""
        await self._tx.execute(_REVOKE, now_ms, self._tenant_id, client_id, secret_id)

    async def supersede(self, client_id: str, overlap_seconds: int) -> None:
        """A newer secret comes beside all live ones: each must be unused so long before it may go."""
        await self._tx.execute(_SUPERSEDE, overlap_seconds, self._tenant_id, client_id)

    async def expose(self, client_id: str, secret_id: str, now_ms: int) -> bool:
        """Note the first time it was seen where it must not be; False when that was noted before."""
        return await self._tx.execute(_EXPOSE, now_ms, self._tenant_id, client_id, secret_id) > 0

    async def clear_exposed(self, client_id: str, secret_id: str) -> None:
        """Take that note back."""
        await self._tx.execute(_CLEAR_EXPOSED, None, self._tenant_id, client_id, secret_id)


async def list_all_digests(reader: Reader) -> dict[bytes, DigestRow]:
    """All credentials by digest, across tenants: for operators' doors only."""
    rows = (DigestRow(*row) for row in await reader.fetch(_DIGESTS))
    return {bytes(row.digest): row for row in rows}


async def add_uses(tx: Transaction, rows: Sequence[tuple[str, str, int, int, str]]) -> None:
    """Add use counts, across tenants: (tenant id, secret id, uses, last used at in ms, last address)."""
    await tx.insert_rows(secret_use, rows, suffix=_ADD_UP)


def secret_row(tenant_id: str, client_id: str, secret: ClientSecret, digest: bytes) -> tuple[object, ...]:
    """A whole row in the table's column order."""
    return (
        tenant_id, client_id, secret.secret_id, secret.label, digest, int(secret.legacy), secret.created_at,
        secret.expires_at, secret.revoked_at, secret.exposed_at, secret.overlap_seconds, None,
    )  # fmt: skip


def _secret(row: Row) -> ClientSecret:
    secret_id, label, legacy, created_at, expires_at, revoked_at, exposed_at, uses, *last_used, overlap_seconds = row
    last_used_at, address = last_used
    return ClientSecret(
        secret_id, label, bool(legacy), created_at, expires_at, revoked_at, exposed_at, uses or 0, last_used_at,
        address, overlap_seconds,
    )  # fmt: skip
