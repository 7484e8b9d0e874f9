"""A thousand random tamperings of a copy, of five kinds: each is found, and the first place named is the right one."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnilab.audit.service.verification import Verification
from tests.audit.place import Place, make_database, opened, path_in

SEED = 20_261_126
ROUNDS = 200  # of each kind
RECORDS = "audit_records"
REQUEST_ID, POSITION, TENANT_ID, OUTCOME, CHAIN_ID, BODY, LINK = range(7)

Row = tuple[Any, ...]
Places = set[tuple[str, int]]


@dataclass(slots=True)
class Original:
    """What was written: the records by place, the heads, and every head each chain ever had."""

    records: dict[tuple[str, int], Row] = field(default_factory=dict)
    heads: dict[str, Row] = field(default_factory=dict)
    older_heads: dict[str, dict[int, Row]] = field(default_factory=dict)
    witness: str = ""  # the chain that wrote the last checkpoint


async def write_three_chains(places: list[Place], database: sqlite3.Connection) -> Original:
    """Three processes side by side; the last checkpoint, by the third, sees how far the others came."""
    original = Original()

    def note_heads() -> None:
        for row in database.execute("SELECT * FROM audit_chains"):
            original.older_heads.setdefault(row[0], {})[row[2]] = row

    for number in range(12):
        for place in places:
            place.clock.ms += 11_000
            await place.audit.record(place.granted() if number % 3 else place.refused())
            note_heads()
        if number % 4 == 3:
            await places[number % 2].audit._checkpoints.write()
            note_heads()
    await places[2].audit._checkpoints.write()
    original.witness = str(places[2].audit._sink.chain_id)
    for row in database.execute(f"SELECT * FROM {RECORDS}"):
        original.records[row[CHAIN_ID], row[POSITION]] = row
    for row in database.execute("SELECT * FROM audit_chains"):
        original.heads[row[0]] = row
    return original


class Tamperer:
    """Whoever can write the tables and lacks the key. Each method returns the places it touched."""

    def __init__(self, database: sqlite3.Connection, original: Original) -> None:
        self.database = database
        self.original = original
        self.dice = random.Random(SEED)

    def change(self) -> Places:
        row = self._any_record()
        column = self.dice.choice([REQUEST_ID, TENANT_ID, OUTCOME, BODY, LINK])
        self._update(row, column, self._other(row[column]))
        return {(row[CHAIN_ID], row[POSITION])}

    def delete(self) -> Places:
        row = self._any_record()
        self._delete(row)
        return {(row[CHAIN_ID], row[POSITION])}

    def reorder(self) -> Places:
        one = self._any_record()
        chain = [row for row in self.original.records.values() if row[CHAIN_ID] == one[CHAIN_ID] and row != one]
        other = self.dice.choice(chain)
        for row in (one, other):
            self._delete(row)
        self._insert((*one[:1], other[POSITION], *one[2:]))
        self._insert((*other[:1], one[POSITION], *other[2:]))
        return {(row[CHAIN_ID], row[POSITION]) for row in (one, other)}

    def insert(self) -> Places:
        """A forged record, at a place that is taken or after the end."""
        row, like = self._any_record(), self._any_record()
        head = self.original.heads[row[CHAIN_ID]]
        position = self.dice.choice([row[POSITION], head[2] + 1])
        forged = (self._other(like[REQUEST_ID]), position, like[TENANT_ID], "granted", row[CHAIN_ID])
        self._insert((*forged, like[BODY], self.dice.randbytes(32)))
        # After the end, the head no longer fits: it is the head's place that is named then.
        return {(row[CHAIN_ID], position), (row[CHAIN_ID], head[2])}

    def cut(self) -> Places:
        """The end of a chain, its head wound back to a copy that was right once: only the checkpoint knows better."""
        chain_id = self.dice.choice([each for each in self.original.heads if each != self.original.witness])
        end = self.original.heads[chain_id][2]
        until = self.dice.choice([each for each in self.original.older_heads[chain_id] if each < end])
        self.database.execute(f"DELETE FROM {RECORDS} WHERE chain_id = ? AND chain_position > ?", (chain_id, until))
        self.database.execute("DELETE FROM audit_chains WHERE chain_id = ?", (chain_id,))
        self.database.execute("INSERT INTO audit_chains VALUES (?,?,?,?,?)", self.original.older_heads[chain_id][until])
        return {(chain_id, position) for position in range(until + 1, end + 1)}

    def undo(self) -> None:
        self.database.execute(f"DELETE FROM {RECORDS}")
        self.database.execute("DELETE FROM audit_chains")
        self.database.executemany(f"INSERT INTO {RECORDS} VALUES (?,?,?,?,?,?,?)", self.original.records.values())
        self.database.executemany("INSERT INTO audit_chains VALUES (?,?,?,?,?)", self.original.heads.values())

    def _any_record(self) -> Row:
        return self.dice.choice(list(self.original.records.values()))

    def _other(self, value: str | bytes) -> str | bytes:
        """One character or byte of it is another one."""
        place = self.dice.randrange(len(value))
        if isinstance(value, bytes):
            return value[:place] + bytes([value[place] ^ 1 << self.dice.randrange(8)]) + value[place + 1 :]
        other = self.dice.choice([each for each in "0123456789abcdef" if each != value[place]])
        return value[:place] + other + value[place + 1 :]

    def _update(self, row: Row, column: int, value: object) -> None:
        name = ("request_id", "", "tenant_id", "outcome", "", "body", "link")[column]
        statement = f"UPDATE {RECORDS} SET {name} = ? WHERE chain_id = ? AND chain_position = ?"
        self.database.execute(statement, (value, row[CHAIN_ID], row[POSITION]))

    def _delete(self, row: Row) -> None:
        where = (row[CHAIN_ID], row[POSITION])
        self.database.execute(f"DELETE FROM {RECORDS} WHERE chain_id = ? AND chain_position = ?", where)

    def _insert(self, row: Row) -> None:
        self.database.execute(f"INSERT INTO {RECORDS} VALUES (?,?,?,?,?,?,?)", row)


def take_off_constraints(database: sqlite3.Connection) -> None:
    """A tamperer is not held back by what the schema allows."""
    for name in (RECORDS, "audit_chains"):
        database.execute(f"CREATE TABLE bare AS SELECT * FROM {name}")
        database.execute(f"DROP TABLE {name}")
        database.execute(f"ALTER TABLE bare RENAME TO {name}")
    database.execute(f"CREATE INDEX in_chain ON {RECORDS} (chain_id, chain_position)")


def names(result: Verification, places: Places) -> bool:
    """Whether the first place named is one of those that were touched."""
    first = result.findings[0]
    return any(first.chain_id == chain and first.position <= position <= first.last for chain, position in places)


async def tamper(folder: Path) -> tuple[list[str], int]:
    async with opened(folder) as one, opened(folder) as two, opened(folder) as three, opened(folder) as reader:
        with closing(sqlite3.connect(path_in(folder), isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = OFF")
            original = await write_three_chains([one, two, three], database)
            take_off_constraints(database)
            tamperer = Tamperer(database, original)
            kinds: list[Callable[[], Places]] = [
                tamperer.change,
                tamperer.delete,
                tamperer.reorder,
                tamperer.insert,
                tamperer.cut,
            ]
            assert (await reader.audit.verify()).intact
            failed, done = [], 0
            for number in range(ROUNDS):
                for act in kinds:
                    database.execute("BEGIN")
                    places = act()
                    database.execute("COMMIT")
                    result = await reader.audit.verify()
                    if result.intact or not names(result, places):
                        failed.append(f"{act.__name__} {number} at {sorted(places)}: {result.findings}")
                    done += 1
                    database.execute("BEGIN")
                    tamperer.undo()
                    database.execute("COMMIT")
            assert (await reader.audit.verify()).intact
    return failed, done


def test_a_thousand_tamperings_are_found_and_their_places_named(tmp_path: Path) -> None:
    make_database(tmp_path)
    failed, done = asyncio.run(tamper(tmp_path))
    assert failed == []
    assert done == 1000
