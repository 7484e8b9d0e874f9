"""Secrets that will expire, across tenants: for warnings and for operators' doors only."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, exists, or_, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.model.expiry import ExpiringSecret
from omnilab.tenancy.tables import clients, secret_use, secrets, tenants

_NEWER = secrets.alias("newer")
_SUCCESSOR = exists().where(
    _NEWER.c.tenant_id == secrets.c.tenant_id,
    _NEWER.c.client_id == secrets.c.client_id,
    _NEWER.c.created_at > secrets.c.created_at,
    _NEWER.c.revoked_at.is_(None),
    or_(_NEWER.c.expires_at.is_(None), _NEWER.c.expires_at > secrets.c.expires_at),
)
_EXPIRING = Statement(
    select(
        secrets.c.tenant_id, tenants.c.tenant, secrets.c.client_id, clients.c.name, clients.c.technical_contact,
        secrets.c.secret_id, secrets.c.label, secrets.c.expires_at, secrets.c.warned_days, secret_use.c.last_used_at,
        _SUCCESSOR,
    )
    .join(clients, and_(clients.c.tenant_id == secrets.c.tenant_id, clients.c.client_id == secrets.c.client_id))
    .join(tenants, tenants.c.tenant_id == secrets.c.tenant_id)
    .outerjoin(
        secret_use,
        and_(secret_use.c.tenant_id == secrets.c.tenant_id, secret_use.c.secret_id == secrets.c.secret_id),
    )
    .where(
        secrets.c.revoked_at.is_(None),
        secrets.c.expires_at > bindparam("now_ms"),
        secrets.c.expires_at <= bindparam("until_ms"),
        clients.c.status == "active",
        tenants.c.status == "active",
    )
    .order_by(secrets.c.expires_at, secrets.c.secret_id),
    "now_ms",
    "until_ms",
)  # fmt: skip
_WARNED = Statement(
    update(secrets)
    .where(
        secrets.c.tenant_id == bindparam("of_tenant"),
        secrets.c.client_id == bindparam("of_client"),
        secrets.c.secret_id == bindparam("wanted"),
        or_(secrets.c.warned_days.is_(None), secrets.c.warned_days > bindparam("days")),
    )
    .values(warned_days=bindparam("new_days")),
    "new_days",
    "of_tenant",
    "of_client",
    "wanted",
    "days",
)


async def list_expiring(reader: Reader, now_ms: int, until_ms: int) -> list[ExpiringSecret]:
    """Live secrets of active clients that expire until then, the first to expire first."""
    # The last column comes as a number from one database and as a truth value from the other.
    return [ExpiringSecret(*(*row[:-1], bool(row[-1]))) for row in await reader.fetch(_EXPIRING, now_ms, until_ms)]


async def note_warned(tx: Transaction, secret: ExpiringSecret, days: int) -> bool:
    """This warning is given now; False where another process gave it."""
    args = (days, secret.tenant_id, secret.client_id, secret.secret_id, days)
    return await tx.execute(_WARNED, *args) == 1
