"""Pure parts of the benchmark: what tools printed, medians, spread and ratios. Must not start anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class Run(NamedTuple):
    """One run of wrk: requests, requests a second, answers that were no 2xx, and the 99th percentile."""

    requests: int
    rate: float
    refused: int
    p99_ms: float


def wrk_run(text: str) -> Run:
    """What wrk printed. Raises ValueError where it is no report."""
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
    count = re.search(r"(\d+) requests in", text)
    if rate is None or count is None:
        raise ValueError(f"not a report of wrk: {text.strip()[-300:]}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", text)
    return Run(
        int(count[1]),
        float(rate[1]),
        int(refused[1]) if refused else 0,
        float(p99[1]) * _UNITS[p99[2]] if p99 else 0.0,
    )


def openssl_rates(text: str) -> dict[str, float]:
    """Signatures and verifications a second by `openssl speed`, as `P-256 sign`, `P-256 verify` and so on."""
    names = {"ecdsa (nistp256)": "P-256", "EdDSA (Ed25519)": "Ed25519", "rsa 2048 bits": "RSA-2048"}
    rates: dict[str, float] = {}
    for printed, name in names.items():
        found = re.search(re.escape(printed) + r"\s+\S+s\s+\S+s\s+([\d.]+)\s+([\d.]+)", text)
        if found is not None:
            rates |= {f"{name} sign": float(found[1]), f"{name} verify": float(found[2])}
    if not rates:
        raise ValueError("openssl printed no rate")
    return rates


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of them lie. Raises ValueError for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def ratio_of(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios round by round: both of a round met the machine in the same mood. The longer of the two
    counts as far as the shorter goes. Raises StatisticsError for none."""
    return median(upper / lower for upper, lower in zip(over, under, strict=False))


def summary(values: Sequence[float]) -> dict[str, float]:
    """The median, and the spread from least to most as a part of it."""
    middle = median(values)
    return {"median": middle, "spread": (max(values) - min(values)) / middle if middle else 0.0}


class Row(NamedTuple):
    """One figure beside what it should be. `target` is a bound in the figure's own unit; None: told, not judged."""

    name: str
    figure: float
    unit: str
    target: float | None = None
    at_least: bool = True
    spread: float = 0.0
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.figure >= self.target if self.at_least else self.figure <= self.target


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as lines of a Markdown table."""
    lines = ["| | figure | to reach | | |", "|---|---:|---:|---|---|"]
    for row in rows:
        target = "" if row.target is None else f"{'≥' if row.at_least else '≤'} {number(row.target)}"
        verdict = {None: "", True: "met", False: "**missed**"}[row.met]
        spread = f"± {row.spread / 2:.0%}" if row.spread else ""
        figure = number(row.figure)
        if row.met is False and row.target is not None and figure == number(row.target):
            figure = f"{row.figure:.4g}"  # what misses by a hair must not look like what it missed
        shown = f"{figure} {row.unit}".strip()
        lines.append(f"| {row.name} | {shown} {spread} | {target} | {verdict} | {row.note} |")
    return lines


def number(value: float) -> str:
    """With as many digits as mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
