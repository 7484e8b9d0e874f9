"""The APIs of a tenant that tokens are issued for."""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.model.nouns import Audience
from omnilab.tenancy.tables import audiences

_MINE = audiences.c.tenant_id == bindparam("of_tenant")
_LIST = Statement(
    select(
        audiences.c.audience, audiences.c.algorithm, audiences.c.lifetime_seconds, audiences.c.endpoints,
        audiences.c.is_default, audiences.c.created_at,
    )
    .where(_MINE)
    .order_by(audiences.c.is_default.desc(), audiences.c.audience),
    "of_tenant",
)  # fmt: skip
_UPDATE = Statement(
    update(audiences)
    .where(_MINE, audiences.c.audience == bindparam("wanted"))
    .values(
        algorithm=bindparam("new_algorithm"),
        lifetime_seconds=bindparam("new_lifetime"),
        endpoints=bindparam("new_endpoints"),
    ),
    "new_algorithm",
    "new_lifetime",
    "new_endpoints",
    "of_tenant",
    "wanted",
)


class AudienceReader:
    """Reads one tenant's audiences."""

    def __init__(self, reader: Reader, tenant_id: str) -> None:
        self._reader = reader
        self._tenant_id = tenant_id

    async def list_all(self) -> list[Audience]:
        """All of the tenant's audiences, the default one first."""
        return [
            Audience(uri, algorithm, lifetime, tuple(endpoints.split()), bool(is_default), created_at)
            for uri, algorithm, lifetime, endpoints, is_default, created_at in await self._reader.fetch(
                _LIST, self._tenant_id
            )
        ]


class AudienceStore(AudienceReader):
    """Changes one tenant's audiences."""

    def __init__(self, tx: Transaction, tenant_id: str) -> None:
        super().__init__(tx, tenant_id)
        self._tx = tx

    async def insert(self, audience: Audience) -> None:
        """Add a row. Raises DuplicateRowError."""
        await self._tx.insert_rows(audiences, [audience_row(self._tenant_id, audience)])

    async def update(self, audience: Audience) -> None:
        """Write what can change of an audience."""
        await self._tx.execute(
            _UPDATE,
            audience.algorithm,
            audience.lifetime_seconds,
            " ".join(sorted(audience.endpoints)),
            self._tenant_id,
            audience.audience,
        )


def audience_row(tenant_id: str, audience: Audience) -> tuple[object, ...]:
    """A whole row in the table's column order."""
    return (
        tenant_id, audience.audience, audience.algorithm, audience.lifetime_seconds,
        " ".join(sorted(audience.endpoints)), int(audience.is_default), audience.created_at,
    )  # fmt: skip
