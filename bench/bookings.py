"""Rows about bookings: lists beside their floor, what verification adds, five million rows, cancels."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench.contenders import floor, ours
from bench.data import Installation, cancel_requests, installation, list_requests, tokens_of
from bench.figures import Row, ratio_of, summary
from bench.machine import Program, wrk
from bench.tokens import Contender, in_turn


def lists(rounds: int) -> Iterator[Row]:
    """Ours, ours without verification, and the floor, in turn."""
    small = installation("small")
    with ours(small) as program:
        tokens = tokens_of(small, program.port)
    three, fifty = list_requests(small, tokens), list_requests(small, tokens, fifty=True)
    tenants = tenants_file(small, tokens)
    with (
        ours(small) as own,
        floor("lists.py", str(small.database), tenants, made=small) as bare,
        floor("unverified.py", made=small) as unverified,
    ):
        contenders = [
            Contender("ours, 3", own, "", three),
            Contender("floor, 3", bare, "", three),
            Contender("unverified, 3", unverified, "", three),
            Contender("ours, 50", own, "", fifty),
            Contender("floor, 50", bare, "", fifty),
        ]
        rates = in_turn(contenders, rounds)
    middle = {name: median(each) for name, each in rates.items()}
    for name in ("ours, 3", "floor, 3", "ours, 50", "floor, 50"):
        yield Row(f"lists of {name} bookings, a second", middle[name], "", spread=summary(rates[name])["spread"])
    for size in ("3", "50"):
        ratio = ratio_of(rates[f"ours, {size}"], rates[f"floor, {size}"])
        yield Row(f"list of {size} bookings ÷ its floor", ratio, "×", 0.75, note="uvicorn, raw ASGI, bare sqlite3")
    added = (ratio_of(rates["unverified, 3"], rates["ours, 3"]) - 1) * 100
    yield Row("verification from cache adds to a list", added, "%", 10, at_least=False)


def tenants_file(made: Installation, tokens: dict[str, str]) -> str:
    """A file that tells the floor the tenant of each Authorization header."""
    with sqlite3.connect(made.database) as database:
        ids = dict(database.execute("SELECT tenant, tenant_id FROM tenants"))
    path = made.folder / "tenants.json"
    path.write_text(json.dumps({f"Bearer {token}": ids[tenant] for tenant, token in tokens.items()}))
    return str(path)


def large(rounds: int) -> Iterator[Row]:
    """Lists of random contacts among ten thousand bookings and among five million."""
    with ExitStack() as stack:
        contenders = []
        for name in ("small", "large"):
            made = installation(name)
            made.read_once()
            program = stack.enter_context(ours(made))
            contenders.append(Contender(name, program, "", list_requests(made, tokens_of(made, program.port))))
        rates = in_turn(contenders, rounds)
    ratio = ratio_of(rates["small"], rates["large"])
    name = "list among 10 thousand ÷ among 5 million bookings"
    yield Row(name, ratio, "×", 1.2, at_least=False, note="in the page cache")


def cancels(rounds: int, seconds: float) -> Iterator[Row]:
    """Durable cancels a second, each of another booking."""
    made = installation("cancels")
    rates: list[float] = []
    with ours(made) as program:
        requests = cancel_requests(made, tokens_of(made, program.port))
        start = 0
        for _ in range(rounds):
            run = wrk(_url(program), requests, seconds=seconds, start=start)
            if run.refused:
                raise RuntimeError(f"{run.refused} of {run.requests} cancels were refused")
            rates.append(run.rate)
            start += run.requests + 200  # what was on its way at the end of a run
    yield Row("cancels a second, durable", median(rates), "", 1500, spread=summary(rates)["spread"])


def _url(program: Program) -> str:
    return f"http://127.0.0.1:{program.port}"


def raw(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows as they go into the JSON file."""
    return [row._asdict() | {"met": row.met} for row in rows]
