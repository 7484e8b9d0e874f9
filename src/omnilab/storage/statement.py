"""SQL that is written once in SQLAlchemy Core, compiled once per dialect and run on the bare driver.

Core's own execution costs two to three times the driver's; its SQL building costs nothing after the first call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, LargeBinary, Table, Text
from sqlalchemy.dialects import registry
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

Row = tuple[Any, ...]
_ASYNCPG = "postgresql.asyncpg"


@cache
def _dialect(name: str) -> Dialect:
    """A dialect, loaded when it is first used: a process has one database, and each dialect costs 70 ms and 5 MB."""
    found: Dialect = registry.load("sqlite")(paramstyle="qmark") if name == "sqlite" else registry.load(_ASYNCPG)()
    return found


class Statement:
    """One statement and the names of its parameters in the order in which callers give them.

    Columns and parameters are whole numbers, text, bytes or None only: results come back as the driver gives them.
    """

    __slots__ = ("_core", "_params", "_compiled")

    def __init__(self, core: ClauseElement, *params: str) -> None:
        self._core = core
        self._params = params
        self._compiled: dict[str, tuple[str, Callable[[Row], Sequence[Any]]]] = {}

    def bind(self, dialect: str, args: Row) -> tuple[str, Sequence[Any]]:
        """The SQL text for a dialect and the arguments in the order that text wants."""
        compiled = self._compiled.get(dialect)
        if compiled is None:
            compiled = self._compiled[dialect] = self._compile(dialect)
        return compiled[0], compiled[1](args)

    def _compile(self, dialect: str) -> tuple[str, Callable[[Row], Sequence[Any]]]:
        compiler = self._core.compile(dialect=_dialect(dialect))
        assert isinstance(compiler, SQLCompiler)
        return str(compiler), _arranged(self._params, compiler)


def _arranged(params: tuple[str, ...], compiler: SQLCompiler) -> Callable[[Row], Sequence[Any]]:
    """How to turn a caller's arguments into the driver's: as they are, reordered, or with constants between."""
    wanted = list(compiler.positiontup or ())
    missing = set(params) - set(wanted)
    if missing:
        raise ValueError(f"the statement has no parameters {sorted(missing)}: {compiler}")
    if tuple(wanted) == params:
        return lambda args: args
    constants = {name: value for name, value in compiler.params.items() if name not in params}
    if not constants and len(wanted) > 1:
        return itemgetter(*(params.index(name) for name in wanted))
    places = [(params.index(name), None) if name in params else (-1, constants[name]) for name in wanted]
    return lambda args: [args[index] if index >= 0 else value for index, value in places]


@lru_cache(maxsize=256)
def insert_sql(table: Table, rows: int, suffix: str) -> str:
    """`INSERT` of whole rows in the table's column order, `rows` of them in one statement."""
    row = "(" + ",".join("?" * len(table.columns)) + ")"
    names = ",".join(column.name for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES {','.join([row] * rows)} {suffix}"  # noqa: S608


@lru_cache(maxsize=64)
def insert_arrays_sql(table: Table, suffix: str) -> str:
    """`INSERT` of any number of rows on PostgreSQL, given as one array a column: one statement to prepare for all."""
    names = ",".join(column.name for column in table.columns)
    arrays = ",".join(f"${number}::{_array_type(column)}" for number, column in enumerate(table.columns, 1))
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}) {suffix}"  # noqa: S608


@lru_cache(maxsize=16)
def update_and_insert_sql(update: str, arguments: int, table: Table) -> str:
    """An UPDATE with so many arguments and, where it touched a row, the insertion of rows given as arrays behind."""
    names = ",".join(column.name for column in table.columns)
    numbered = enumerate(table.columns, arguments + 1)
    arrays = ",".join(f"${number}::{_array_type(column)}" for number, column in numbered)
    rows = f"SELECT * FROM unnest({arrays}) WHERE EXISTS (SELECT 1 FROM moved)"  # noqa: S608
    return f"WITH moved AS ({update} RETURNING 1) INSERT INTO {table.name} ({names}) {rows}"


def _array_type(column: Column[Any]) -> str:
    if isinstance(column.type, Text):
        return "text[]"
    return "bytea[]" if isinstance(column.type, LargeBinary) else "bigint[]"
