"""Figures that others keep for themselves, told to the metrics from time to time.

Promises that keeping a figure costs its keeper nothing but the keeping: it is read here, about once a second, and never
while a request waits. Must not know what a figure is about.
"""

from __future__ import annotations

from collections.abc import Callable

from omnilab.telemetry.metric_names import Metric
from omnilab.telemetry.metrics import Metrics

Read = Callable[[], float]


class Figures:
    """Where each figure is read. `tell` passes them all on."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._gauges: list[tuple[Metric, Read]] = []
        self._counters: list[tuple[Metric, Read]] = []
        self._told: dict[Metric, float] = {}

    def gauge(self, metric: Metric, read: Read) -> None:
        """Tell what `read` gives."""
        self._gauges.append((metric, read))

    def counter(self, metric: Metric, read: Read) -> None:
        """Tell by how much what `read` gives has grown. It begins with 0 in each process, and the metric does not."""
        self._counters.append((metric, read))

    def tell(self) -> None:
        """Read every figure and tell it."""
        for metric, read in self._gauges:
            self._metrics.set(metric, read())
        for metric, read in self._counters:
            total = read()
            self._metrics.add(metric, total - self._told.get(metric, 0.0))
            self._told[metric] = total
