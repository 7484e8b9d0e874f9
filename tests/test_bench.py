"""The benchmark reads what its tools print, works out ratios, judges and shows them; no speed is asserted."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import paced, run
from bench.chart import chart
from bench.data import request_line
from bench.figures import Row, Run, openssl_rates, percentile, ratio_of, summary, table, wrk_run

WRK = """Running 3s test @ http://127.0.0.1:8231/v1/oauth:token
  Latency Distribution
     50%   20.49ms
     99%   33.15ms
  12256 requests in 4.00s, 14.87MB read
Requests/sec:   3060.58
"""
OPENSSL = """                  sign    verify    sign/s verify/s
rsa 2048 bits 0.000583s 0.000017s   1715.0  58000.0
 256 bits ecdsa (nistp256)   0.0000s   0.0001s  23345.0   7348.0
 253 bits EdDSA (Ed25519)   0.0001s   0.0001s  18000.0   6000.0
"""


def test_what_wrk_prints() -> None:
    assert wrk_run(WRK) == Run(12256, 3060.58, 0, 33.15)
    assert wrk_run(WRK + "  Non-2xx or 3xx responses: 3\n").refused == 3
    assert wrk_run(WRK.replace("33.15ms", "1.49s")).p99_ms == 1490
    with pytest.raises(ValueError, match="not a report"):
        wrk_run("unable to connect to 127.0.0.1:1")


def test_what_openssl_prints() -> None:
    rates = openssl_rates(OPENSSL)
    assert rates["P-256 sign"] == 23345.0
    assert rates["RSA-2048 verify"] == 58000.0
    assert len(rates) == 6
    with pytest.raises(ValueError, match="no rate"):
        openssl_rates("")


def test_medians_spread_and_percentiles() -> None:
    assert summary([90.0, 100.0, 110.0]) == {"median": 100.0, "spread": 0.2}
    assert percentile([float(n) for n in range(100)], 0.99) == 99.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratio_of([10, 2, 30], [5, 1, 10]) == 2  # a slow round is slow for both
    assert ratio_of([10, 2, 30], [5]) == 2


@pytest.mark.parametrize(("figure", "at_least", "met"), [(0.3, True, True), (0.2, True, False), (0.2, False, True)])
def test_a_target_is_met_or_missed_and_says_so(figure: float, at_least: bool, met: bool) -> None:
    row = Row("tokens", figure, "×", 0.25, at_least)
    assert row.met is met
    assert ("**missed**" in table([row])[2]) is not met
    assert Row("told", 1.0, "").met is None


def test_what_misses_by_a_hair_is_told_with_more_digits() -> None:
    assert "| 0.2493 × " in table([Row("ratio", 0.24932, "×", 0.25)])[2]


def test_the_document_holds_the_newest_figures() -> None:
    """docs/performance.md is written from the newest file of bench/results, never by hand."""
    newest = max(run.RESULTS.glob("*.json"), key=lambda path: str(json.loads(path.read_text())["measured_at"]))
    text = run.DOCUMENT.read_text()
    assert run.with_figures(text, json.loads(newest.read_text()), newest.name) == text
    with pytest.raises(ValueError, match="no place"):
        run.with_figures("nothing", {}, newest.name)


def test_the_chart_is_a_picture_with_every_rate() -> None:
    root = ET.fromstring(chart({"ours": 8000.0, "a & b": 80.0}, title="Tokens"))
    words = ["".join(each.itertext()) for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["Tokens", "ours", "8,000", "a & b", "80.0"]


def test_paced_requests_are_answered_and_counted_from_when_they_were_due(tmp_path: Path) -> None:
    script = Path(run.__file__).parent / "floors/constant.py"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "requests.txt"
    path.write_text(request_line("POST", "/x", token="t", kind="text/plain", body="b") + "\n")
    [request] = paced.read_requests(path)
    assert request.endswith(b"\r\n\r\nb")
    server = subprocess.Popen([sys.executable, script, str(port), "own"])
    try:
        _wait_for(port)
        found = asyncio.run(paced.measure(port, 200, 0.5, [request]))
    finally:
        server.terminate()
        server.wait()
    assert found["refused"] == 0
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the server did not start")
