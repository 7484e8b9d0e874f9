"""Alerts and dashboard ask for what a served installation really tells, and a made-up name is noticed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from omnilab.codes import CODES
from omnilab.telemetry.metric_names import BUILD_INFO, FIGURES, REFUSALS, REQUEST_SECONDS, REQUESTS, STATUSES
from tests.conftest import Served
from tests.telemetry.queries import FOREIGN, asked_by, problems_of, samples_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "observability"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
#: Metrics that no panel and no alert shows, each with its reason.
NOT_SHOWN: dict[str, str] = {}


def panel_queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']} {target['refId']}", target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found
            yield f"variable {variable['name']}", f"count by ({found[2]}) ({found[1]})"


QUERIES = dict([*((f"alert {rule['alert']}", rule["expr"]) for rule in RULES), *panel_queries()])


@pytest.fixture(scope="module")
def scrape(served: Served) -> str:
    """What Prometheus would read after some traffic: tokens, calls and refusals."""
    server, client = served.server, served.client
    token = server.token(client)
    server.list_bookings(token, "contact-1")
    server.cancel_booking(token, "contact-1", "bkg_00000001")
    server.http.get("/v1/oauth:whoami")
    server.http.get("/v1/oauth:whoami", headers={"OmniLab-Simulate": "503"})
    server.http.get("/healthz")
    server.http.get("/metrics")
    return httpx.get(f"{server.url}/metrics", trust_env=False).text


def label_values(scrape: str) -> dict[str, set[str]]:
    return {
        "operation": set(re.findall(r'operation="(\w+)"', scrape)),
        "status": {str(status) for status in STATUSES},
        "code": set(CODES),
    }


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_what_is_told(scrape: str, name: str) -> None:
    assert problems_of(QUERIES[name], samples_of(scrape), label_values(scrape)) == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sum(rate(omnilab_request_total[5m]))", "no metric omnilab_request_total"),
        ("omnilab_requests", "no metric omnilab_requests"),
        ("max_over_time((omnilab_feed_lag > 1)[5m:1m])", "no metric omnilab_feed_lag"),
        ("sum by (tenant) (omnilab_requests_total)", "no label tenant"),
        ('omnilab_requests_total{operation="tokens"}', "no operation tokens"),
        ('omnilab_requests_total{operation!~"healthz|tokens"}', "no operation tokens"),
        ('rate(omnilab_refusals_total{code="secret_is_revoked"}[5m]) > 0', "no code secret_is_revoked"),
        ('omnilab_requests_total{status=~"6.."}', "no status 6.."),
        ("omnilab_feed_lag_seconds / on (node) omnilab_audit_waiting", "no label node"),
    ],
)
def test_what_nobody_tells_is_noticed(scrape: str, query: str, problem: str) -> None:
    assert problem in problems_of(query, samples_of(scrape), label_values(scrape))


def test_every_metric_that_goes_out_is_shown_or_has_a_reason(scrape: str) -> None:
    shown = {metric for query in QUERIES.values() for metric in asked_by(query).metrics}
    listed = (REQUESTS, REQUEST_SECONDS, REFUSALS, BUILD_INFO, *FIGURES)
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in samples_of(scrape)}
    assert families == {metric.name for metric in listed}
    found = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in shown} - set(FOREIGN)
    assert families - found == set(NOT_SHOWN)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_first_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket", "note")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(text.endswith(".") for name, text in rule["annotations"].items() if name != "runbook_url")
    runbook = ROOT / rule["annotations"]["runbook_url"]
    assert runbook.parent == ROOT / "docs" / "runbooks"
    assert rule["alert"] in runbook.read_text()


def test_no_alert_has_the_name_of_another() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)


def test_the_dashboard_is_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith(".")


def test_the_example_scrapes_what_the_alerts_name() -> None:
    example = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    assert [name for name in example["rule_files"] if not (FOLDER / name).exists()] == []
    jobs = {each["job_name"] for each in example["scrape_configs"]}
    named = {job for query in QUERIES.values() for job in re.findall(r'job="(\w+)"', query)}
    assert named
    assert named <= jobs
