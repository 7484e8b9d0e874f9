"""From where each credential was used, and when first and last. A secret keeps its latest thousand addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

from sqlalchemy import and_, bindparam, case, delete, func, or_, select, tuple_

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.model.verdict import KEPT_ADDRESSES
from omnilab.tenancy.tables import secret_addresses, secrets, tenants

SecretKey = tuple[str, str]
"""tenant id, secret id"""

AddressKey = tuple[str, str, str]
"""tenant id, secret id, address"""

Key = TypeVar("Key", SecretKey, AddressKey)

AddressUse = tuple[str, str, str, int, int, int]
"""tenant id, secret id, address, uses, first and last used at (ms)"""

_ADDRESS = secret_addresses.c
_OF_CLIENT = Statement(
    select(_ADDRESS.secret_id, _ADDRESS.address, _ADDRESS.last_used_at)
    .join(secrets, (secrets.c.tenant_id == _ADDRESS.tenant_id) & (secrets.c.secret_id == _ADDRESS.secret_id))
    .where(secrets.c.tenant_id == bindparam("of_tenant"), secrets.c.client_id == bindparam("of_client")),
    "of_tenant",
    "of_client",
)
# How many keys one look-up takes: several times quicker than one by one after a start, when all are asked for.
LOOKED_UP = 50
_PLACES = range(LOOKED_UP)
_RECORDED = Statement(
    select(_ADDRESS.tenant_id, _ADDRESS.secret_id, _ADDRESS.address).where(
        or_(
            *(
                and_(
                    _ADDRESS.tenant_id == bindparam(f"tenant_{place}"),
                    _ADDRESS.secret_id == bindparam(f"secret_{place}"),
                    _ADDRESS.address == bindparam(f"address_{place}"),
                )
                for place in _PLACES
            )
        )
    ),
    *(f"{name}_{place}" for place in _PLACES for name in ("tenant", "secret", "address")),
)
_sibling = secrets.alias()
_OF_SIBLING = (_ADDRESS.tenant_id == _sibling.c.tenant_id) & (_ADDRESS.secret_id == _sibling.c.secret_id)
_OF_USED_CLIENTS = Statement(
    select(secrets.c.tenant_id, secrets.c.secret_id).where(
        or_(
            *(
                and_(
                    secrets.c.tenant_id == bindparam(f"tenant_{place}"),
                    secrets.c.secret_id == bindparam(f"secret_{place}"),
                )
                for place in _PLACES
            )
        ),
        select(_ADDRESS.tenant_id)
        .select_from(_sibling)
        .join(secret_addresses, _OF_SIBLING)
        .where(_sibling.c.tenant_id == secrets.c.tenant_id, _sibling.c.client_id == secrets.c.client_id)
        .exists(),
    ),
    *(f"{name}_{place}" for place in _PLACES for name in ("tenant", "secret")),
)
_ACQUAINTANCE = Statement(
    select(
        tenants.c.tenant,
        secrets.c.client_id,
        func.sum(case((_ADDRESS.address == bindparam("wanted_address"), 1), else_=0)),
    )
    .join(tenants, tenants.c.tenant_id == secrets.c.tenant_id)
    .join(_sibling, (_sibling.c.tenant_id == secrets.c.tenant_id) & (_sibling.c.client_id == secrets.c.client_id))
    .join(secret_addresses, _OF_SIBLING)
    .where(secrets.c.tenant_id == bindparam("of_tenant"), secrets.c.secret_id == bindparam("wanted"))
    .group_by(tenants.c.tenant, secrets.c.client_id),
    "wanted_address",
    "of_tenant",
    "wanted",
)
_RANK = func.row_number().over(
    partition_by=(_ADDRESS.tenant_id, _ADDRESS.secret_id), order_by=_ADDRESS.last_used_at.desc()
)
_RANKED = select(_ADDRESS.tenant_id, _ADDRESS.secret_id, _ADDRESS.address, _RANK.label("rank")).subquery()
_PRUNE = Statement(
    delete(secret_addresses).where(
        tuple_(_ADDRESS.tenant_id, _ADDRESS.secret_id, _ADDRESS.address).in_(
            select(_RANKED.c.tenant_id, _RANKED.c.secret_id, _RANKED.c.address).where(
                _RANKED.c.rank > bindparam("kept")
            )
        )
    ),
    "kept",
)
_ADD_UP = (
    "ON CONFLICT (tenant_id, secret_id, address) DO UPDATE SET"
    " use_count = secret_addresses.use_count + excluded.use_count,"
    " last_used_at = CASE WHEN excluded.last_used_at >= secret_addresses.last_used_at"
    " THEN excluded.last_used_at ELSE secret_addresses.last_used_at END"
)


async def list_addresses(reader: Reader, tenant_id: str, client_id: str) -> dict[str, dict[str, int]]:
    """secret id → address → when it last used that secret, in ms."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for secret_id, address, last_used_at in await reader.fetch(_OF_CLIENT, tenant_id, client_id):
        found[secret_id][address] = last_used_at
    return found


async def list_recorded(reader: Reader, keys: Sequence[AddressKey]) -> set[AddressKey]:
    """Which of these are recorded, of whatever tenant. `keys`: 1 to `LOOKED_UP`."""
    rows = await reader.fetch(_RECORDED, *chain.from_iterable(_filled(keys)))
    return {(row[0], row[1], row[2]) for row in rows}


async def list_of_used_clients(reader: Reader, keys: Sequence[SecretKey]) -> set[SecretKey]:
    """Which of these belong to a client that used one of its secrets before. `keys`: 1 to `LOOKED_UP`."""
    rows = await reader.fetch(_OF_USED_CLIENTS, *chain.from_iterable(_filled(keys)))
    return {(row[0], row[1]) for row in rows}


def _filled(keys: Sequence[Key]) -> list[Key]:
    return list(keys) + [keys[-1]] * (LOOKED_UP - len(keys))


class Acquaintance(NamedTuple):
    """Whose a credential is, and whether an address has used any of its client's before."""

    tenant: str
    client_id: str
    familiar: bool


async def find_acquaintance(reader: Reader, tenant_id: str, secret_id: str, address: str) -> Acquaintance | None:
    """None where no secret of the client was ever used."""
    row = await reader.fetch_one(_ACQUAINTANCE, address, tenant_id, secret_id)
    return None if row is None else Acquaintance(row[0], row[1], int(row[2]) > 0)


async def add_addresses(tx: Transaction, rows: Sequence[AddressUse]) -> None:
    """Add uses, across tenants."""
    await tx.insert_rows(secret_addresses, rows, suffix=_ADD_UP)


async def prune_addresses(tx: Transaction) -> int:
    """Forget what is beyond the latest thousand addresses of a secret. Returns how many."""
    return await tx.execute(_PRUNE, KEPT_ADDRESSES)
