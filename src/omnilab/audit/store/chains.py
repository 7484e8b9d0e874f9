"""The chains as `verify` and the checkpoints walk them: heads, and the records of one chain by position.

Whoever tampers may put any type into any column (SQLite keeps it), so what is read here is not taken for what the
columns say.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import LargeBinary, bindparam, func, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from omnilab.audit.model.walk import Cut
from omnilab.audit.tables import audit_chains, audit_cuts, audit_records
from omnilab.storage.database import Reader
from omnilab.storage.statement import Row, Statement

PAGE_ROWS = 500
_LAST_POSITION = 2**63 - 1


class ChainHead(NamedTuple):
    """A row of `audit_chains`."""

    chain_id: str
    started_at: int
    head_position: int  # -1 when it is no whole number
    head_at: int
    head_seal: bytes


class ChainedRow(NamedTuple):
    """A row of `audit_records` as the chain sees it."""

    position: int
    request_id: str
    tenant_id: str
    outcome: str
    body: bytes
    link: object


class _Octets(GenericFunction[bytes]):
    """The bytes of a text, even where they are no longer text."""

    type = LargeBinary()
    inherit_cache = True
    name = "octets"


@compiles(_Octets, "sqlite")
def _octets_of_sqlite(element: _Octets, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BLOB)"


@compiles(_Octets, "postgresql")
def _octets_of_postgresql(element: _Octets, compiler: SQLCompiler, **options: Any) -> str:
    return f"convert_to({compiler.process(element.clauses, **options)}, 'UTF8')"


_heads, _records = audit_chains.c, audit_records.c
_HEADS = Statement(
    select(_heads.chain_id, _heads.started_at, _heads.head_position, _heads.head_at, _heads.head_seal).order_by(
        _heads.started_at, _heads.chain_id
    )
)
_HEAD = Statement(
    select(_heads.chain_id, _heads.started_at, _heads.head_position, _heads.head_at, _heads.head_seal).where(
        _heads.chain_id == bindparam("wanted")
    ),
    "wanted",
)
_FIRST_CHAIN = Statement(select(func.min(_records.chain_id)))
_NEXT_CHAIN = Statement(
    select(func.min(_records.chain_id)).where(_records.chain_id > bindparam("after")),
    "after",
)
_ROWS = Statement(
    select(
        _records.chain_position,
        _records.request_id,
        _records.tenant_id,
        _records.outcome,
        _Octets(_records.body),
        _records.link,
    )
    .where(
        _records.chain_id == bindparam("wanted"),
        _records.chain_position >= bindparam("first"),
        _records.chain_position <= literal_column(str(_LAST_POSITION)),
    )
    .order_by(_records.chain_position, _records.request_id)
    .limit(PAGE_ROWS),
    "wanted",
    "first",
)
_CUT = Statement(
    select(audit_cuts.c.position, audit_cuts.c.link, audit_cuts.c.seal).where(
        audit_cuts.c.chain_id == bindparam("wanted")
    ),
    "wanted",
)
# SQLite sorts texts and blobs after all numbers.
_MISPLACED = Statement(
    select(_records.request_id)
    .where(_records.chain_id == bindparam("wanted"), _records.chain_position > literal_column(str(_LAST_POSITION)))
    .limit(PAGE_ROWS),
    "wanted",
)
_NEWEST_OTHER = Statement(
    select(func.max(_heads.head_at)).where(_heads.chain_id != bindparam("own")),
    "own",
)
# The link by a query of its own for each head: as a join, SQLite walked all records to find the few heads.
_LINK = (
    select(_records.link)
    .where(_records.chain_id == _heads.chain_id, _records.chain_position == _heads.head_position)
    .scalar_subquery()
)
_MOVED = Statement(
    select(_heads.chain_id, _heads.head_at, _heads.head_position, _LINK)
    .where(_heads.head_at >= bindparam("since"), _heads.chain_id != bindparam("own"))
    .order_by(_heads.head_at, _heads.chain_id),
    "since",
    "own",
)


class MovedChain(NamedTuple):
    """Another writer's chain and where it stands."""

    chain_id: str
    head_at: int
    position: int
    link: bytes


class Chains:
    """The chains of every writer; holds no tenant apart, because one chain holds records of many."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def list_heads(self) -> list[ChainHead]:
        return [_head(row) for row in await self._reader.fetch(_HEADS)]

    async def find_head(self, chain_id: str) -> ChainHead | None:
        row = await self._reader.fetch_one(_HEAD, chain_id)
        return None if row is None else _head(row)

    async def find_cut(self, chain_id: str) -> Cut | None:
        """Where retention cut this chain."""
        row = await self._reader.fetch_one(_CUT, chain_id)
        return None if row is None else Cut(*row)

    async def list_rows(self, chain_id: str, first: int) -> list[ChainedRow]:
        """A page of the records of a chain from position `first` on."""
        return [ChainedRow(*row) for row in await self._reader.fetch(_ROWS, chain_id, first)]

    async def list_recorded_chain_ids(self) -> list[str]:
        """The chains that records name, whether or not they have a head."""
        found: list[str] = []
        row = await self._reader.fetch_one(_FIRST_CHAIN)
        while row is not None and row[0] is not None:
            found.append(row[0])
            row = await self._reader.fetch_one(_NEXT_CHAIN, row[0])
        return found

    async def list_misplaced(self, chain_id: str) -> list[str]:
        """The request ids of records whose position is no number."""
        return [str(row[0]) for row in await self._reader.fetch(_MISPLACED, chain_id)]

    async def newest_other_head_at(self, own: str) -> int:
        """When any other chain last moved (ms), 0 when there is none."""
        row = await self._reader.fetch_one(_NEWEST_OTHER, own)
        return 0 if row is None or row[0] is None else int(row[0])

    async def list_moved(self, since: int, own: str) -> list[MovedChain]:
        """Other chains that took a record at `since` (ms) or later."""
        rows = await self._reader.fetch(_MOVED, since, own)
        return [MovedChain(*row) for row in rows if row[3] is not None]


def _head(row: Row) -> ChainHead:
    head = ChainHead(*row)
    return head if isinstance(row[2], int) else head._replace(head_position=-1)
