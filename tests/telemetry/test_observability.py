"""Alerts, dashboard and runbooks speak of metrics, commands and pages that there are."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import typer.main
import yaml

from omnilab.cli.main import root
from omnilab.telemetry import metric_names
from omnilab.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "deploy/observability"
RULES = [rule for group in yaml.safe_load((PLACE / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((PLACE / "dashboard.json").read_text())
RUNBOOKS = sorted(path for path in (ROOT / "docs/runbooks").glob("*.md") if path.name != "README.md")
# What Prometheus itself adds.
PROMETHEUS_OWN = {"up": {"job", "instance"}}


def exported() -> dict[str, set[str]]:
    """Every series that a node exports, and its labels beside `instance` and `job`."""
    metrics = Metrics(["token"])

    class Finished:
        status, code = 503, "temporarily_unavailable"

        class operation:
            operation_id = "token"

    metrics.observe(Finished(), 0.01)
    found: dict[str, set[str]] = {}
    for line in metrics.render().decode().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.rpartition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def queries() -> list[str]:
    found = [rule["expr"] for rule in RULES]
    for panel in DASHBOARD["panels"]:
        found += [target["expr"] for target in panel["targets"]]
    return [each.replace("$__rate_interval", "1m").replace("$instance", ".*") for each in found]


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Metric names with the labels that are matched, by a real parser of PromQL."""
    promql_parser.parse(expression)
    found = []
    for name, labels in re.findall(r"\b((?:omnilab_\w+)|up)\b(?:\{([^}]*)\})?", expression):
        found.append((name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))))
    return found


@pytest.mark.parametrize("expression", queries())
def test_a_query_asks_for_what_a_node_exports(expression: str) -> None:
    known = exported() | PROMETHEUS_OWN
    used = selectors(expression)
    assert used
    for name, labels in used:
        assert name in known, name
        assert labels <= known[name] | {"instance", "job"}
    grouped = {each for inside in re.findall(r"\bby \(([^)]*)\)", expression) for each in re.split(r",\s*", inside)}
    assert grouped <= {label for name, _ in used for label in known[name]} | {"instance"}


def test_a_made_up_metric_would_be_found() -> None:
    assert selectors("rate(omnilab_no_such_thing_total[1m]) > 0") == [("omnilab_no_such_thing_total", set())]
    assert "omnilab_no_such_thing_total" not in exported()
    with pytest.raises(ValueError, match=r"\S"):
        promql_parser.parse("rate(omnilab_requests_total[1m]")


def test_every_metric_is_shown_somewhere() -> None:
    shown = " ".join(queries())
    metrics = [each for each in vars(metric_names).values() if isinstance(each, metric_names.Metric)]
    assert len(metrics) > 8
    assert [each.name for each in metrics if each.name not in shown] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    assert (ROOT / rule["annotations"]["runbook_url"]).is_file()


def commands_in(text: str) -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(omnilab [a-z][^`…]*)`", text)
    return [shlex.split(line) for line in [*lines, *inline] if line.startswith("omnilab ")]


@pytest.mark.parametrize(
    "page", [*RUNBOOKS, ROOT / "docs/scaling.md", ROOT / "deploy/README.md"], ids=lambda path: path.stem
)
def test_the_commands_of_a_runbook_are_commands(page: Path) -> None:
    """Each is read by the command line itself, up to the point where it would run."""
    for words in commands_in(page.read_text()):
        command: Any = typer.main.get_command(root)
        context = command.make_context("omnilab", [*words[1:2], "--help"], resilient_parsing=True)
        rest = words[1:]
        while rest and hasattr(command, "get_command"):
            found = command.get_command(context, rest[0])
            assert found is not None, " ".join(words)
            command, rest = found, rest[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known | {"--help"}, " ".join(words)


def test_every_runbook_has_the_same_form_and_is_listed() -> None:
    index = (ROOT / "docs/runbooks/README.md").read_text()
    assert len(RUNBOOKS) >= 8
    for page in RUNBOOKS:
        text = page.read_text()
        assert f"]({page.name})" in index
        for part in ("**Afterwards.**",):
            assert part in text, page.name
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (page.parent / target).resolve().exists(), f"{page.name}: {target}"
