"""`/metrics` on the public port: there in development, and only there."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Served


def test_development_tells_its_figures(served: Served) -> None:
    assert httpx.get(f"{served.server.url}/healthz", trust_env=False).status_code == 200
    answer = httpx.get(f"{served.server.url}/metrics", trust_env=False)
    assert answer.status_code == 200
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"omnilab_requests", "omnilab_snapshot_clients", "omnilab_feed_lag_seconds"} <= names
