"""Metrics in Prometheus' format: plain additions on the hot path, added up over all workers when scraped.

The figures of all workers of one machine lie in one anonymous shared memory, a row for each worker with itself as
the only writer: no lock, no file, and a worker that is replaced counts on where the killed one stopped. Knows no
house; names and buckets stand in `metric_names.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from omnilab import __version__
from omnilab.codes import CODES
from omnilab.telemetry.metric_names import (
    BUILD_INFO,
    DURATION_BUCKETS_SECONDS,
    FIGURES,
    REFUSALS,
    REQUEST_SECONDS,
    REQUESTS,
    STATUSES,
    Metric,
)

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_MAX_OPERATIONS = 64
_OTHER = "other"
_STATUS_AT = {status: place for place, status in enumerate(STATUSES)}
_CODE_NAMES = (*CODES, _OTHER)
_CODE_AT = {code: place for place, code in enumerate(_CODE_NAMES)}
_SUM_AT = len(DURATION_BUCKETS_SECONDS) + 1  # after the buckets, +Inf among them
# The layout of a row, in doubles (exact for whole numbers up to 2^53).
_DURATIONS_AT = len(STATUSES)
_BLOCK = _DURATIONS_AT + _SUM_AT + 1
_CODES_AT = _BLOCK * _MAX_OPERATIONS
_FIGURES_AT = _CODES_AT + len(_CODE_NAMES)
_ROW = _FIGURES_AT + len(FIGURES)


class Finished(Protocol):
    """What counting needs of a finished exchange."""

    status: int
    code: str
    operation: Any


class MetricsBoard:
    """The shared rows. Made by the parent before it forks its workers."""

    def __init__(self, workers: int = 1) -> None:
        self._cells = memoryview(mmap.mmap(-1, workers * _ROW * 8)).cast("d")
        self.workers = workers

    def row(self, index: int) -> memoryview[float]:
        """The row of one worker."""
        return self._cells[index * _ROW : (index + 1) * _ROW]

    def rows(self) -> list[memoryview[float]]:
        """All rows."""
        return [self.row(index) for index in range(self.workers)]


class Metrics:
    """Counts of one worker, and the scrape of all.

    operation_ids: every call, in an order that is the same in each worker. row: this worker's place, from 0.
    """

    def __init__(self, operation_ids: Sequence[str], *, board: MetricsBoard | None = None, row: int = 0) -> None:
        names = (_OTHER, *dict.fromkeys(operation_ids))
        if len(names) > _MAX_OPERATIONS:
            raise ValueError(f"{len(names)} operations, but metrics have room for {_MAX_OPERATIONS}")
        self._board = board or MetricsBoard()
        self._row = self._board.row(row)
        self._names = names
        self._block_at = {name: place * _BLOCK for place, name in enumerate(names)}
        self._figure_at = {metric.name: _FIGURES_AT + place for place, metric in enumerate(FIGURES)}
        self._registry = CollectorRegistry()
        self._registry.register(_BoardCollector(self._board, names))

    def observe(self, exchange: Finished, duration_seconds: float) -> None:
        """Count a finished request."""
        row = self._row
        operation = exchange.operation
        start = self._block_at.get(operation.operation_id, 0) if operation is not None else 0
        row[start + _STATUS_AT.get(exchange.status or 499, 0)] += 1
        durations = start + _DURATIONS_AT
        row[durations + bisect_left(DURATION_BUCKETS_SECONDS, duration_seconds)] += 1
        row[durations + _SUM_AT] += duration_seconds
        if exchange.code:
            row[_CODES_AT + _CODE_AT.get(exchange.code, len(_CODE_NAMES) - 1)] += 1

    def add(self, metric: Metric, amount: float = 1) -> None:
        """Add to a counter of `metric_names.FIGURES`."""
        self._row[self._figure_at[metric.name]] += amount

    def set(self, metric: Metric, value: float) -> None:
        """Set a gauge of `metric_names.FIGURES`."""
        self._row[self._figure_at[metric.name]] = value

    def render(self) -> bytes:
        """Everything, over all workers, in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)


class _BoardCollector(Collector):
    def __init__(self, board: MetricsBoard, names: Sequence[str]) -> None:
        self._board = board
        self._names = names

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        rows = self._board.rows()
        total = [sum(cells) for cells in zip(*rows, strict=True)]
        yield self._requests(total)
        yield self._durations(total)
        yield _refusals(total)
        yield _build_info()
        for place, metric in enumerate(FIGURES, _FIGURES_AT):
            if metric.kind == "counter":
                yield CounterMetricFamily(metric.name, metric.documentation, value=total[place])
            else:
                highest = max(row[place] for row in rows)
                yield GaugeMetricFamily(metric.name, metric.documentation, value=highest)

    def _requests(self, total: Sequence[float]) -> CounterMetricFamily:
        family = CounterMetricFamily(REQUESTS.name, REQUESTS.documentation, labels=["operation", "status"])
        for place, name in enumerate(self._names):
            for status, count in zip(STATUSES, total[place * _BLOCK :], strict=False):
                if count:
                    family.add_metric([name, str(status) if status else _OTHER], count)
        return family

    def _durations(self, total: Sequence[float]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(REQUEST_SECONDS.name, REQUEST_SECONDS.documentation, labels=["operation"])
        for place, name in enumerate(self._names):
            start = place * _BLOCK + len(STATUSES)
            counts = total[start : start + _SUM_AT]
            if any(counts):
                family.add_metric([name], _cumulative(counts), total[start + _SUM_AT])
        return family


def _build_info() -> GaugeMetricFamily:
    family = GaugeMetricFamily(BUILD_INFO.name, BUILD_INFO.documentation, labels=["version"])
    family.add_metric([__version__], 1)
    return family


def _refusals(total: Sequence[float]) -> CounterMetricFamily:
    family = CounterMetricFamily(REFUSALS.name, REFUSALS.documentation, labels=["code"])
    for code, count in zip(_CODE_NAMES, total[_CODES_AT:], strict=False):
        if count:
            family.add_metric([code], count)
    return family


def _cumulative(counts: Iterable[float]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in DURATION_BUCKETS_SECONDS), "+Inf"]
    so_far, buckets = 0.0, []
    for bound, count in zip(bounds, counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    return buckets


async def serve_metrics(metrics: Metrics, *, host: str, port: int) -> asyncio.Server:
    """Answer `GET /metrics` on an internal port. Every worker may listen: each tells the figures of all.

    Raises OSError when the port is taken by another program.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_http_answer(metrics, head))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port, reuse_port=True, limit=8192)


def _http_answer(metrics: Metrics, head: bytes) -> bytes:
    found = head.split(b" ", 2)[:2] == [b"GET", b"/metrics"]
    body = metrics.render() if found else b"not found\n"
    status = b"200 OK" if found else b"404 Not Found"
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        status,
        CONTENT_TYPE,
        len(body),
        body,
    )
