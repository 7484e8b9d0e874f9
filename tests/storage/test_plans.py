"""No statement walks a table that grows with use: asked of SQLite's own planner."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3

import pytest

import omnilab
from omnilab.storage.statement import Statement
from tests.harness import Omnilab

# What has a row for each booking, record, secret or answer. The other tables have a row for each thing provisioned.
GROWING = ("audit_records", "bookings", "slots", "idempotency_records", "revoked_tokens", "changes", "help_feedback")

# Never run on SQLite, which has neither partitions nor replicas; they go by the index of each partition.
POSTGRESQLS_OWN = ("omnilab.audit.store.months", "omnilab.storage.replica", "omnilab.storage.changes._COUNT_ON")


def statements() -> dict[str, Statement]:
    found = {}
    for module in pkgutil.walk_packages(omnilab.__path__, "omnilab."):
        if "migrations" in module.name or module.name.endswith("__main__") or module.name in POSTGRESQLS_OWN:
            continue
        if "store" in module.name or ".storage" in module.name:
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, Statement) and f"{module.name}.{name}" not in POSTGRESQLS_OWN:
                    found[f"{module.name}.{name}"] = value
    return found


STATEMENTS = statements()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> sqlite3.Connection:
    folder = tmp_path_factory.mktemp("plans")
    Omnilab(folder).init()
    [path] = folder.rglob("*.db")
    return sqlite3.connect(path)


def plan(database: sqlite3.Connection, statement: Statement) -> list[str]:
    sql, _ = statement.bind("sqlite", (None,) * len(statement._params))
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * sql.count("?"))]


def test_the_statements_are_found() -> None:
    assert len(STATEMENTS) > 40


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_growing_table_is_walked(database: sqlite3.Connection, name: str) -> None:
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables.issuperset(GROWING)
    steps = plan(database, STATEMENTS[name])
    walked = [
        step for step in steps for table in GROWING if step == f"SCAN {table}" or step.startswith(f"SCAN {table} ")
    ]
    assert walked == [], steps
