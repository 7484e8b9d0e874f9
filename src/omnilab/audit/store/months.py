"""PostgreSQL's partitions of the audit records: making them ahead, and dropping those that are wholly old.

Promises that making and dropping wait for nobody longer than the session's lock timeout, and that two processes that do
it at once do it once. The names of tables come from the catalogue or from `months_from`, never from a caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sqlalchemy import text

from omnilab.audit.model.months import Month, floor_time, months_from
from omnilab.audit.model.record import request_id_floor
from omnilab.audit.model.walk import Cut
from omnilab.audit.store.chains import ChainedRow
from omnilab.audit.store.retention import mark_cuts
from omnilab.storage.database import Reader, Transaction
from omnilab.storage.statement import Statement

MONTHS_AHEAD = 3
REST = "audit_records_rest"  # what lies in no month; small
_LOCK = 0x6F6D6E6D
_TABLE = re.compile(r"audit_records_[a-z0-9_]+")
_TAKE_TURN = Statement(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
_PARTITIONS = Statement(
    text(
        """SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.reltuples::bigint
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'audit_records'::regclass"""
    )
)


class Partition(NamedTuple):
    """A partition. end_ms: no record in it was made later (ms); None for the rest. rows: an estimate."""

    table: str
    end_ms: int | None
    rows: int


async def list_partitions(reader: Reader) -> list[Partition]:
    """The partitions there are, oldest first and the rest last."""
    found = [_partition(*row) for row in await reader.fetch(_PARTITIONS)]
    return sorted(found, key=lambda each: (each.end_ms is None, each.end_ms))


def _partition(table: str, bounds: str, rows: int) -> Partition:
    end = re.search(r"TO \('([0-9a-f-]+)'\)", bounds)
    return Partition(table, None if end is None else floor_time(end[1]), max(0, rows))


async def make_months(tx: Transaction, now_ms: int) -> list[str]:
    """Make the tables of this month and the next ones, as far as they are missing. Returns their names."""
    await tx.fetch(_TAKE_TURN)
    there = await list_partitions(tx)
    last = max((each.end_ms for each in there if each.end_ms is not None), default=0)
    names = {each.table for each in there}
    missing = [
        month
        for month in months_from(now_ms, MONTHS_AHEAD)
        if month.table not in names and floor_time(month.first) >= last
    ]
    for month in missing:
        for sql in _making(month):
            await tx.execute(Statement(text(sql)))
    return [month.table for month in missing]


def _making(month: Month) -> list[str]:
    """Made apart and then attached: `PARTITION OF` would lock out every writer of the records."""
    name, first, end = month
    is_in_it = f"request_id >= '{first}' AND request_id < '{end}'"
    # What came before its month was made lies in the rest, and would be in the way.
    move = f"WITH early AS (DELETE FROM {REST} WHERE {is_in_it} RETURNING *) INSERT INTO {name} SELECT * FROM early"  # noqa: S608
    return [
        f"CREATE TABLE {name} (LIKE audit_records INCLUDING ALL)",
        f"CREATE UNIQUE INDEX {name}_in_chain ON {name} (chain_id, chain_position)",
        move,
        f"ALTER TABLE audit_records ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')",
    ]


class OldChain(NamedTuple):
    """One chain that has old records: where the last cut is, its newest old record in the old partition and in the
    rest, and its first record that stays. What is not there is None."""

    chain_id: str
    cut_position: int | None
    cut_link: bytes | None
    position: int | None
    link: bytes | None
    rest_position: int | None
    rest_link: bytes | None
    kept: ChainedRow | None

    @property
    def newest(self) -> tuple[int, bytes]:
        """The newest of the old records."""
        found = [(self.position, self.link), (self.rest_position, self.rest_link)]
        return max((place, link) for place, link in found if place is not None and link is not None)


@cache
def _old_chains(table: str) -> Statement:
    """By the indexes of each partition, a chain at a time: it costs by the number of chains, not of records."""
    newest = "ORDER BY chain_position DESC LIMIT 1"
    sql = f"""
        SELECT c.chain_id, u.position, u.link, p.chain_position, p.link, r.chain_position, r.link,
               k.chain_position, k.request_id, k.tenant_id, k.outcome, convert_to(k.body, 'UTF8'), k.link
        FROM audit_chains c
        LEFT JOIN audit_cuts u ON u.chain_id = c.chain_id
        LEFT JOIN LATERAL (SELECT * FROM {table} WHERE chain_id = c.chain_id {newest}) p ON true
        LEFT JOIN LATERAL (SELECT * FROM {REST} WHERE chain_id = c.chain_id AND request_id < :until {newest}) r ON true
        LEFT JOIN LATERAL (SELECT * FROM audit_records WHERE chain_id = c.chain_id AND request_id >= :until
                           ORDER BY chain_position LIMIT 1) k ON true
        WHERE p.chain_position IS NOT NULL OR r.chain_position IS NOT NULL"""  # noqa: S608 - `_checked` names
    return Statement(text(sql), "until")


_LINK_AT = Statement(
    text("SELECT link FROM audit_records WHERE chain_id = :wanted AND chain_position = :position"),
    "wanted",
    "position",
)
_FORGET_REST = Statement(
    text(f"DELETE FROM {REST} WHERE chain_id = :wanted AND chain_position <= :until"),  # noqa: S608
    "wanted",
    "until",
)


async def list_old_chains(tx: Transaction, partition: Partition) -> list[OldChain]:
    """The chains with records in a partition, or as old in the rest; others wait that would drop one too."""
    await tx.fetch(_TAKE_TURN)
    rows = await tx.fetch(_old_chains(_checked(partition.table)), request_id_floor(partition.end_ms or 0))
    return [OldChain._make((*row[:7], None if row[7] is None else ChainedRow(*row[7:]))) for row in rows]


async def find_link(tx: Transaction, chain_id: str, position: int) -> bytes | None:
    """The link of the record at this place of a chain."""
    row = await tx.fetch_one(_LINK_AT, chain_id, position)
    return None if row is None else bytes(row[0])


async def drop(tx: Transaction, partition: Partition, cuts: Sequence[tuple[str, Cut]], *, now_ms: int) -> None:
    """Drop a partition. What comes after its chain's cut, though it is as old, moves to the rest."""
    table = _checked(partition.table)
    await tx.execute(Statement(text(f"ALTER TABLE audit_records DETACH PARTITION {table}")))
    for chain_id, cut in cuts:
        await tx.execute(_FORGET_REST, chain_id, cut.position)
        late = f"INSERT INTO audit_records SELECT * FROM {table} WHERE chain_id = :wanted AND chain_position > :until"  # noqa: S608
        await tx.execute(Statement(text(late), "wanted", "until"), chain_id, cut.position)
    await mark_cuts(tx, cuts, now_ms)
    await tx.execute(Statement(text(f"DROP TABLE {table}")))


def _checked(table: str) -> str:
    if not _TABLE.fullmatch(table):
        raise ValueError("not a partition of the audit records")
    return table
