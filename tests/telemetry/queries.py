"""What a PromQL query asks for: metrics, and labels with the values they are compared to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

# Prometheus adds these to whatever it scrapes.
SCRAPED_LABELS = frozenset({"job", "instance"})
#: What the alerts use and others export: Prometheus itself, and node_exporter on the machine of the database.
FOREIGN = {
    "up": frozenset(),
    "node_filesystem_avail_bytes": frozenset({"mountpoint"}),
    "node_filesystem_size_bytes": frozenset({"mountpoint"}),
}


@dataclass
class Asked:
    """metrics: names as samples have them. labels: matched or grouped by. values: each label with what it is compared
    to, the alternatives of a regular expression one by one."""

    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    values: list[tuple[str, str]] = field(default_factory=list)


def asked_by(query: str) -> Asked:
    """Read a query. Raises ValueError where it is none."""
    asked = Asked()

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            _take_selector(asked, node)
        elif isinstance(node, promql.MatrixSelector):
            _take_selector(asked, node.vector_selector)
        elif isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            asked.labels.update(node.modifier.labels)
        elif isinstance(node, promql.BinaryExpr) and node.modifier is not None and node.modifier.matching is not None:
            asked.labels.update(node.modifier.matching.labels)

    promql.walk(promql.parse(query.replace("$__rate_interval", "5m")), visit)
    return asked


def samples_of(text: str) -> dict[str, set[str]]:
    """Of a scrape: the name of every sample, with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        if family.type == "counter":  # it has no sample before its first count
            found.setdefault(f"{family.name}_total", set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def problems_of(query: str, samples: Mapping[str, set[str]], values: Mapping[str, set[str]]) -> list[str]:
    """What a query asks for that nobody exports. values: of our labels, those that there are."""
    asked = asked_by(query)
    known = {**FOREIGN, **samples}
    problems = [f"no metric {name}" for name in asked.metrics if name not in known]
    labels = SCRAPED_LABELS.union(*(known.get(name, frozenset()) for name in asked.metrics))
    problems += [f"no label {label}" for label in asked.labels - labels]
    for label, text in asked.values:
        if label in values and not any(re.fullmatch(text, value) for value in values[label]):
            problems.append(f"no {label} {text}")
    return problems


def _take_selector(asked: Asked, selector: Any) -> None:
    asked.metrics.add(selector.name)
    assert not selector.matchers.or_matchers, "alternatives of matchers are not read here"
    for matcher in selector.matchers.matchers:
        asked.labels.add(matcher.name)
        is_regex = matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe)
        texts = matcher.value.split("|") if is_regex else [re.escape(matcher.value)]
        asked.values += [(matcher.name, text) for text in texts]
