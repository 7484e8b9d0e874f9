"""Pure parts of the benchmark: what wrk and openssl printed, medians, spread and ratios. Must not start anything."""

from __future__ import annotations

import re
from statistics import median


def wrk_rate(text: str) -> float:
    """Requests a second by wrk's report. Raises ValueError where there is none, or where answers were refused."""
    found = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if found is None or refused:
        raise ValueError(f"not a clean run of wrk: {text.strip()[-300:]}")
    return float(found[1])


def openssl_sign_rate(text: str) -> float:
    """Signatures a second by `openssl speed ecdsap256`. Raises ValueError."""
    found = re.search(r"ecdsa \(nistp256\)\s+\S+s\s+\S+s\s+([\d.]+)", text)
    if found is None:
        raise ValueError("openssl printed no line for P-256")
    return float(found[1])


def summary(rates: list[float]) -> dict[str, float]:
    """The median, and the spread from least to most as a part of it."""
    middle = median(rates)
    return {"median": middle, "spread": (max(rates) - min(rates)) / middle if middle else 0.0}


def ratios(medians: dict[str, float]) -> dict[str, float]:
    """Ours over each other that was measured."""
    return {f"ours/{name}": medians["ours"] / rate for name, rate in medians.items() if name != "ours" and rate}
