"""The benchmark reads what its tools print, and works out ratios; no server is started."""

from __future__ import annotations

import pytest

from bench.figures import openssl_sign_rate, ratios, summary, wrk_rate


def test_the_rate_that_wrk_prints() -> None:
    assert wrk_rate("  100 requests in 1.00s\nRequests/sec:   9876.50\n") == 9876.5


def test_a_run_with_refused_answers_does_not_count() -> None:
    with pytest.raises(ValueError, match="clean"):
        wrk_rate("  Non-2xx or 3xx responses: 3\nRequests/sec:   9876.50\n")


def test_the_rate_that_openssl_prints() -> None:
    assert openssl_sign_rate(" 256 bits ecdsa (nistp256)   0.0000s   0.0001s  40000.5  13000.1\n") == 40000.5


def test_medians_spread_and_ratios() -> None:
    assert summary([90.0, 100.0, 110.0]) == {"median": 100.0, "spread": 0.2}
    assert ratios({"ours": 50.0, "openssl": 200.0}) == {"ours/openssl": 0.25}
