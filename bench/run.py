"""Everything the speed of the service is measured by, in one interleaved run. Started by `make bench`.

Servers have core 0, load generators core 1. Prints one table, and writes `bench/results/<date>-<cpu>.json`, the chart
and the table of docs/performance.md. Installations are made before the clock starts, and kept for the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import bookings, connections, postgresql, sdk, tokens
from bench.chart import chart
from bench.contenders import HERE, prepare_peers
from bench.data import installation
from bench.figures import Row, summary, table
from bench.machine import core_time

RESULTS = HERE / "results"
DOCUMENT, PICTURE = HERE.parent / "docs/performance.md", HERE.parent / "docs/performance.svg"
_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
_GROUPS = (
    "compare",
    "latency",
    "costs",
    "clients",
    "starts",
    "lists",
    "large",
    "cancels",
    "connections",
    "sdk",
    "postgresql",
)
_LARGE = "postgresql-large"
_NEEDS = {
    "clients": ("tenthousand", "wide"),
    "starts": ("tenthousand", "wide"),
    "large": ("large",),
    "cancels": ("cancels",),
    _LARGE: ("large",),
}


def sdk_rows(calls: int) -> Iterable[Row]:
    """What the SDK adds to a call of bare httpx, and what importing it costs."""
    found = sdk.measure(calls)
    for row in found["calls"]:
        yield Row(f"SDK over bare httpx, {row['kind']}", row["overhead_percent"], "%", 5, at_least=False)
    for statement, milliseconds in found["imports_ms"].items():
        target = 150 if statement == "import omnilab.client" else None
        yield Row(f"`{statement}`", milliseconds, "ms", target, at_least=False, note="CPU time")


def measure(wanted: tuple[str, ...], *, quick: bool) -> tuple[list[Row], dict[str, list[float]]]:
    """All rows of the wanted groups, and the token rates of every round."""
    rounds, seconds = (2, 2) if quick else (5, 2)
    rates: dict[str, list[float]] = {}
    rows: list[Row] = []

    def compare() -> Iterable[Row]:
        found, figures = tokens.compare(rounds, seconds)
        rates.update(found)
        return figures

    groups: dict[str, Callable[[], Iterable[Row]]] = {
        "compare": compare,
        "latency": lambda: tokens.latency(3, seconds),
        "costs": lambda: tokens.costs(12),
        "clients": lambda: tokens.many_clients(10),
        "starts": lambda: tokens.starts(3),
        "lists": lambda: bookings.lists(10),
        "large": lambda: bookings.large(10),
        "cancels": lambda: bookings.cancels(3, seconds),
        "connections": lambda: connections.idle_connections(seconds),
        "sdk": lambda: sdk_rows(500),
        "postgresql": lambda: postgresql.compare(10),
        _LARGE: lambda: postgresql.large(2, seconds),
    }
    started, stolen = core_time(), []
    for name in wanted:
        began, before = time.monotonic(), core_time()
        for row in groups[name]():
            rows.append(row)
            print(table([row])[2], flush=True)
        stolen.append(f"{name} {core_time().stolen_since(before):.0%}")
        print(f"  ({name}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    taken = core_time().stolen_since(started) * 100
    rows.append(Row("time that the host took from the servers' core", taken, "%", note=", ".join(stolen)))
    return rows, rates


def machine() -> str:
    """The processor's name and the number of cores."""
    text = Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return f"{found[1].strip() if found else 'unknown processor'}, {os.cpu_count()} cores"


def write(rows: list[Row], rates: dict[str, list[float]], *, began: datetime) -> Path:
    """The JSON file, the chart and the table of the document."""
    RESULTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", machine()).strip("-").lower()
    path = RESULTS / f"{began:%Y-%m-%d}-{name}.json"
    document: dict[str, Any] = {
        "measured_at": f"{began:%Y-%m-%dT%H:%M:%SZ}",
        "machine": machine(),
        "python": sys.version.split()[0],
        "rows": bookings.raw(rows),
        "rates": rates,
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    middle = {each: summary(found)["median"] for each, found in rates.items() if "verify" not in each}
    PICTURE.write_text(chart(middle, title="A second on one core (logarithmic)"))
    DOCUMENT.write_text(with_figures(DOCUMENT.read_text(), document, path.name))
    return path


def with_figures(text: str, document: dict[str, Any], source: str) -> str:
    """The document with the newest figures in their place. Raises ValueError when it has no such place."""
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} has no place for figures")
    rows = [Row(*(each[name] for name in Row._fields)) for each in document["rows"]]
    words = f"Measured {document['measured_at']} on {document['machine']}, Python {document['python']} ({source})."
    return "\n".join([head + _BEGIN, "", words, "", *table(rows), "", _END + tail])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="tokens alone, two short rounds; writes nothing")
    parser.add_argument("--only", choices=(*_GROUPS, _LARGE), action="append", help="these groups; writes nothing")
    given = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("bench needs two cores: one for the server, one for the load")
    wanted = tuple(given.only or (("compare",) if given.quick else _GROUPS))
    for name in ("small", *(each for group in wanted for each in _NEEDS.get(group, ()))):
        installation(name)
    prepare_peers()
    began = datetime.now(UTC)
    rows, rates = measure(wanted, quick=given.quick)
    print("\n".join(["", *table(rows)]))
    judged = [row for row in rows if row.met is not None]
    missed = [row.name for row in judged if not row.met]
    print(f"\n{len(missed)} of {len(judged)} targets missed: {', '.join(missed) or 'none'}")
    if wanted == _GROUPS and not given.quick:
        print(f"written: {write(rows, rates, began=began)}")


if __name__ == "__main__":
    main()
