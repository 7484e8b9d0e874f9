"""The arithmetic of docs/scaling.md: its table follows from the figures that the page itself names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "scaling.md").read_text()
DAY_SECONDS = 86_400


def figure(name: str) -> float:
    """A figure of the page's list, `| name | 1,234 unit | …`."""
    found = re.search(rf"^\| {re.escape(name)} \| ([0-9.,]+)", PAGE, re.MULTILINE)
    assert found, name
    return float(found[1].replace(",", ""))


def size(count: float) -> str:
    """To two figures that count, as the page writes sizes."""
    for unit, whole in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= whole:
            value = count / whole
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{count:.0f} B"


def row(clients: int, days: int, *, postgresql: bool) -> list[str]:
    tokens, calls = figure("tokens a day and client"), figure("calls a day and client")
    writes, peak = calls * figure("writes among them, %") / 100, figure("peak ÷ mean")
    engine = "PostgreSQL" if postgresql else "SQLite"
    tokens_peak, calls_peak = (clients * each / DAY_SECONDS * peak for each in (tokens, calls))
    per_call = ((calls - writes) * figure("CPU of a list, µs") + writes * figure("CPU of a cancel, µs")) / calls
    cores = (tokens_peak * figure("CPU of a token, µs") + calls_peak * per_call) / 1e6
    audit = clients * (tokens + calls) * figure(f"audit record on {engine}, bytes")
    bookings = clients * figure("bookings of a client") * figure(f"booking on {engine}, bytes")
    answers = clients * writes * figure("kept answer of a write, bytes")
    return [
        f"{tokens_peak:,.0f}" if tokens_peak >= 10 else f"{tokens_peak:.1f}",
        f"{calls_peak:,.0f}",
        f"{cores:.1f}" if cores >= 1 else f"{cores:.2f}" if cores >= 0.01 else "< 0.01",
        size(clients * figure("memory of a client in each worker, bytes")),
        size(bookings),
        size(audit),
        str(days),
        size(audit * days + bookings + answers),
    ]


@pytest.mark.parametrize(
    ("clients", "days", "postgresql"), [(1_000, 400, False), (100_000, 400, True), (1_000_000, 90, True)]
)
def test_a_row_follows_from_the_figures(clients: int, days: int, postgresql: bool) -> None:
    found = re.search(rf"^\| {clients:,} \| (.*) \|$", PAGE, re.MULTILINE)
    assert found
    assert found[1].split(" | ")[:8] == row(clients, days, postgresql=postgresql)


def test_figures_of_the_bench_are_near_to_what_it_printed() -> None:
    """Another machine moves them; beyond a half the arithmetic would mislead."""
    bench = (DOCS / "performance.md").read_text()

    def printed(name: str) -> float:
        found = re.search(rf"^\| {re.escape(name)} \| ([0-9.,]+)", bench, re.MULTILINE)
        assert found, name
        return float(found[1].replace(",", ""))

    assert figure("CPU of a token, µs") == pytest.approx(printed("CPU a token"), rel=0.5)
    assert figure("CPU of a list, µs") == pytest.approx(1e6 / printed("lists of ours, 3 bookings, a second"), rel=0.5)
    assert figure("CPU of a cancel, µs") == pytest.approx(1e6 / printed("cancels a second, durable"), rel=0.5)
    per_client = printed("memory for each 10,000 clients") * 1e6 / 10_000
    assert figure("memory of a client in each worker, bytes") == pytest.approx(per_client, rel=0.5)
