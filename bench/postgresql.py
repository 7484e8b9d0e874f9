"""Rows about PostgreSQL beside SQLite: tokens, lists beside their floor, two nodes; and ten million records.

Ours has core 0. PostgreSQL and the load share core 1, so where the load needs all of it the rate says little: the rows
tell what a request costs ours and PostgreSQL in CPU time too.
"""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.bookings import tenants_file
from bench.contenders import floor, ours
from bench.data import OMNILAB, Installation, installation, list_requests, tokens_of
from bench.figures import Row, ratio_of, summary
from bench.machine import LOAD_CORE, SERVER_CORE, Program, wrk
from bench.postgresql_server import Database, postgresql
from bench.tokens import TOKEN, Contender, in_turn, rate_of, there_and_back

Costs = dict[str, list[float]]


def copied(database: Database, name: str) -> Installation:
    """The installation of this name on PostgreSQL: the one on SQLite, copied by `omnilab db copy` unless it was."""
    made = installation(name)
    on_postgresql = dataclasses.replace(made, url=database.url(name))
    made_at = str((made.folder / "made").stat().st_mtime_ns)  # one that was made anew has other keys
    if database.comment(name) != made_at:
        database.sql("template1", f"DROP DATABASE IF EXISTS {name}")
        database.sql("template1", f"CREATE DATABASE {name}")
        words = [OMNILAB, "db", "copy", "--from", f"sqlite:///{made.database}", "--to", database.url(name)]
        subprocess.run(words, env=made.environ, check=True, capture_output=True)
        database.sql(name, "VACUUM ANALYZE")
        database.sql(name, f"COMMENT ON DATABASE {name} IS '{made_at}'")
    return on_postgresql


def compare(rounds: int) -> Iterator[Row]:
    """Tokens and lists on both engines, the floor of lists, and two nodes beside one."""
    costs: Costs = defaultdict(list)
    with postgresql() as database:
        small, there = installation("small"), copied(database, "small")
        tokens, requests = _tokens(there), small.token_requests()
        three, fifty = list_requests(small, tokens), list_requests(small, tokens, fifty=True)
        known = tenants_file(small, tokens)
        with (
            ours(small) as own,
            ours(there) as program,
            floor("lists_postgresql.py", there.database_url, known, made=there) as bare,
        ):
            on_both = [Contender("SQLite tokens", own, TOKEN, requests), Contender("tokens", program, TOKEN, requests)]
            lists = [
                Contender(name, each, "", wanted)
                for size, wanted in (("3", three), ("50", fifty))
                for name, each in ((size, program), (f"floor {size}", bare))
            ]
            rates = in_turn([*on_both, *lists], rounds)
            for _ in range(rounds):
                _cost(program, database, requests, TOKEN, costs)
        yield from _compared(rates, costs)
        yield from _two_nodes(there, requests, rounds)


def _tokens(made: Installation) -> dict[str, str]:
    with ours(made) as program:
        return tokens_of(made, program.port)


def _cost(program: Program, database: Database, requests: Path, path: str, costs: Costs) -> None:
    """The CPU µs of ours and of PostgreSQL for each answer, added to `costs`."""
    url = f"http://127.0.0.1:{program.port}{path}"
    before = program.cpu_seconds(), database.program.cpu_seconds()
    run = wrk(url, requests, seconds=1)
    for name, each, earlier in zip(("ours", "PostgreSQL"), (program, database.program), before, strict=True):
        costs[name].append((each.cpu_seconds() - earlier) / run.requests * 1e6)


def _compared(rates: dict[str, list[float]], costs: Costs) -> Iterator[Row]:
    middle = {name: median(each) for name, each in rates.items()}
    yield Row("tokens on PostgreSQL, a second", middle["tokens"], "", spread=summary(rates["tokens"])["spread"])
    note = f"CPU a token: ours {median(costs['ours']):.0f} µs, PostgreSQL {median(costs['PostgreSQL']):.0f} µs"
    ratio = ratio_of(rates["tokens"], rates["SQLite tokens"])
    yield Row("tokens on PostgreSQL ÷ on SQLite", ratio, "×", 0.9, note=note)
    for size in ("3", "50"):
        yield Row(f"lists of {size} on PostgreSQL, a second", middle[size], "", spread=summary(rates[size])["spread"])
        ratio = ratio_of(rates[size], rates[f"floor {size}"])
        yield Row(f"list of {size} on PostgreSQL ÷ its floor", ratio, "×", 0.7, note="uvicorn, raw ASGI, bare asyncpg")


def _two_nodes(there: Installation, requests: Path, rounds: int) -> Iterator[Row]:
    costs: dict[int, list[float]] = defaultdict(list)
    with ours(there, cores=SERVER_CORE) as first, ours(there, cores=LOAD_CORE) as second:
        for number in range(rounds + 1):
            for programs in there_and_back(([first], [first, second]), number):
                before = sum(each.cpu_seconds() for each in programs)
                runs = _together(programs, requests)
                if number:  # the first round warms up
                    costs[len(programs)].append((sum(each.cpu_seconds() for each in programs) - before) / runs * 1e6)
    note = "2 × CPU a token with one node ÷ with two: PostgreSQL and the load have no core of their own here"
    yield Row("two nodes ÷ one", 2 * ratio_of(costs[1], costs[2]), "×", 1.7, note=note)


def _together(programs: list[Program], requests: Path) -> int:
    """Load all of them at once; how many requests in all."""

    def load(program: Program) -> int:
        return wrk(f"http://127.0.0.1:{program.port}{TOKEN}", requests, seconds=1, connections=32).requests

    with ThreadPoolExecutor(len(programs)) as pool:
        return sum(pool.map(load, programs))


MILLION = 1_000_000
RECORDS, MONTHS = 10 * MILLION, 4
# A record as a token leaves it. Its link is not one: what is measured looks at none but those at the ends of a month.
_RECORDS = """
INSERT INTO {table}
SELECT substr(t, 1, 8) || '-' || substr(t, 9, 4) || '-7' || lpad(to_hex(n % 4096), 3, '0') || '-8000-' ||
       lpad(to_hex(n), 12, '0'), n, 'ten_' || (n % 5000), CASE WHEN n % 50 = 0 THEN 'refused' ELSE 'granted' END,
       '{chain}', '{{"request_id":"' || t || '","occurred_at":1790000000000,"tenant_id":"ten_' || (n % 5000) ||
       '","endpoint":"oauth:token","outcome":"granted","tenant":"seed-' || (n % 5000) || '","client_id":"cli_' ||
       md5(n::text) || '","secret_id":"sec_' || md5(n::text) || '","address":"192.0.2.7"}}',
       sha256(n::text::bytea)
FROM (SELECT n, lpad(to_hex({first} + (n - {begin}) * {step}), 12, '0') AS t
      FROM generate_series({begin}::bigint, {end}::bigint) AS n) AS made"""
_MONTH_MS = 30 * 86_400_000


def large(rounds: int, seconds: float) -> Iterator[Row]:
    """Ten million records and five million bookings: a look-up, lists, and a month that goes."""
    rates: dict[str, list[float]] = defaultdict(list)
    with postgresql() as database:
        little = copied(database, "small")
        there = copied(database, "large")
        wanted = _with_records(database)
        for _ in range(rounds):
            for name, made in (("small", little), ("large", there)):
                tokens = _tokens(made)
                with ours(made) as program:
                    rates[name].append(rate_of(program, "", list_requests(made, tokens), seconds, warm=3))
        ratio = ratio_of(rates["small"], rates["large"])
        yield Row("list among 10 thousand ÷ 5 million bookings, PostgreSQL", ratio, "×", 1.2, at_least=False)
        yield from _shows(there, wanted)
        yield from _retained(database, there)


def _with_records(database: Database) -> list[str]:
    """Ten million records in months of their own, made once; some of their request ids."""
    first_ms = 1_700_000_000_000 // _MONTH_MS * _MONTH_MS
    have = {row[0] for row in database.sql("large", "SELECT relname FROM pg_class WHERE relkind = 'r'")}
    if "audit_records_bench_1" not in have:
        # The records of this installation itself are newer; `before` has none as old as these.
        database.sql("large", "ALTER TABLE audit_records DETACH PARTITION audit_records_before")
        database.sql("large", "INSERT INTO audit_records_rest SELECT * FROM audit_records_before")
    for month in range(MONTHS):
        if f"audit_records_bench_{month}" not in have:  # the first one goes at the end of each run
            _make_month(database, month, first_ms + month * _MONTH_MS)
    newest = f"audit_records_bench_{MONTHS - 1}"
    return [
        row[0] for row in database.sql("large", f"SELECT request_id FROM {newest} TABLESAMPLE SYSTEM (0.01) LIMIT 50")
    ]


def _make_month(database: Database, month: int, first_ms: int) -> None:
    """A month's partition, carved out of `before`, with its share of the records in one chain of its own."""
    share, table = RECORDS // MONTHS, f"audit_records_bench_{month}"
    numbers = {"begin": month * share + 1, "end": (month + 1) * share, "first": first_ms, "step": _MONTH_MS // share}
    bounds = [f"{each:012x}" for each in (first_ms, first_ms + _MONTH_MS)]
    low, high = (f"{each[:8]}-{each[8:]}" for each in bounds)
    database.sql("large", f"CREATE TABLE {table} (LIKE audit_records)")
    database.sql("large", _RECORDS.format(table=table, chain=f"chn_bench_{month}", **numbers))
    database.sql("large", f"ALTER TABLE {table} ADD PRIMARY KEY (request_id, chain_position, tenant_id)")
    database.sql("large", f"CREATE UNIQUE INDEX {table}_in_chain ON {table} (chain_id, chain_position)")
    database.sql("large", f"CREATE INDEX ON {table} (tenant_id, request_id) WHERE outcome = 'refused'")
    database.sql("large", f"ALTER TABLE audit_records ATTACH PARTITION {table} FOR VALUES FROM ('{low}') TO ('{high}')")
    for marked in ("audit_chains", "audit_cuts"):
        database.sql("large", f"DELETE FROM {marked} WHERE chain_id = 'chn_bench_{month}'")
    head = f"('chn_bench_{month}', {first_ms}, {numbers['end']}, {first_ms}, ''::bytea)"
    database.sql("large", f"INSERT INTO audit_chains VALUES {head}")
    database.sql("large", f"VACUUM ANALYZE {table}")


def _shows(there: Installation, wanted: list[str]) -> Iterator[Row]:
    """One record by its request id: inside a process that is there, and by the command from its start to its end."""
    from bench.audit_look_up import look_up  # noqa: PLC0415 - it opens the platform in this process

    found = look_up(there, wanted)
    yield Row("`audit show` of one of 10 million", median(found) * 1000, "ms", 50, at_least=False, note="the look-up")
    yield Row(
        "`omnilab audit show`, the command", _timed(there, "audit", "show", wanted[0]), "s", note="with its start"
    )


def _retained(database: Database, there: Installation) -> Iterator[Row]:
    """A month goes; the oldest that is left, so each run has one month less, and makes it again first."""
    before = 1_700_000_000_000 // _MONTH_MS * _MONTH_MS + _MONTH_MS
    days = int((time.time() * 1000 - before) // 86_400_000)
    took = _timed(there, "audit", "retain", "--older-than", f"{days}d")
    left = database.sql("large", "SELECT count(*) FROM pg_class WHERE relname = 'audit_records_bench_0'")
    if left != [["0"]]:
        raise RuntimeError("retention let go of nothing")
    start = _timed(there, "audit", "retain", "--older-than", f"{days}d")
    note = f"2.5 million records; the command {took:.2f} s, of which {start:.2f} s with nothing to do"
    yield Row("retention of a month", max(0.0, took - start), "s", 1, at_least=False, note=note)


def _timed(there: Installation, *words: str) -> float:
    began = time.monotonic()
    done = subprocess.run([OMNILAB, *words, "--json"], env=there.environ, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return time.monotonic() - began
