"""What watches a serving process, wired: metrics, access log, traces, and the figures that its parts keep themselves.

Promises that nothing which watches delays an answer, and that what nobody asked for costs nothing: it is not made.
Decides nothing and changes nothing.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Protocol

from omnilab.audit.service import AuditService
from omnilab.clock import Clock
from omnilab.errors import ProvisioningError
from omnilab.quotas.service import QuotaService
from omnilab.settings import Settings
from omnilab.storage.changes import ChangeFeed
from omnilab.storage.database import Database
from omnilab.storage.replica import Replica
from omnilab.telemetry import metric_names as names
from omnilab.telemetry.access_log import AccessLog
from omnilab.telemetry.figures import Figures
from omnilab.telemetry.metrics import Metrics
from omnilab.telemetry.troubles import Trouble
from omnilab.tenancy.snapshot import Snapshot
from omnilab.web.application import Observer
from omnilab.web.exchange import Exchange


class Watched(Protocol):
    """The parts of a platform that are watched. background_failures: how often one of its tasks ended by itself."""

    settings: Settings
    clock: Clock
    db: Database
    audit: AuditService
    feed: ChangeFeed
    snapshot: Snapshot
    quotas: QuotaService
    replica: Replica | None
    background_failures: int


class TraceObserver(Protocol):
    """Traces, as they are seen without loading what they load."""

    @property
    def exported(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    def observe(self, exchange: Exchange, duration_seconds: float) -> None: ...

    async def close(self) -> None: ...


class Observation:
    """Made on the event loop of the process that serves. observers: see each finished exchange."""

    def __init__(self, watched: Watched, metrics: Metrics) -> None:
        """Raises ProvisioningError where traces are asked for and not installed."""
        settings = watched.settings
        self.observers: list[Observer] = [metrics]
        self._figures = Figures(metrics)
        self._access_log: AccessLog | None = None
        self._traces = _traces(settings, watched.clock)
        if settings.access_log:
            self._access_log = AccessLog(watched.clock, as_text=logs_text(settings))
            self.observers.append(self._access_log)
        if self._traces is not None:
            self.observers.append(self._traces)
        metrics.set(names.STARTED_AT_SECONDS, watched.clock.now_ms() / 1000)
        self._read_from(watched)
        # What makes answers 503, which the access log tells without a cause.
        self._troubles = (
            Trouble("commits", lambda: watched.db.commits.reason),
            Trouble("change_feed", lambda: watched.feed.reason),
        )

    def tell(self) -> None:
        """Tell the metrics how all figures stand, and the log what began to fail. Called once a second."""
        self._figures.tell()
        for trouble in self._troubles:
            trouble.look()

    async def close(self) -> None:
        """Pass on what is left: access lines as far as somebody reads, spans for a second or two."""
        if self._traces is not None:
            await self._traces.close()
        if self._access_log is not None:
            self._access_log.flush()

    def _read_from(self, watched: Watched) -> None:
        gauge, counter = self._figures.gauge, self._figures.counter
        commits = watched.db.commits
        gauge(names.SNAPSHOT_CLIENTS, lambda: len(watched.snapshot))
        gauge(names.FEED_LAG_SECONDS, watched.feed.lag_seconds)
        counter(names.FEED_FAILURES, lambda: watched.feed.failures)
        counter(names.COMMITS, lambda: commits.done)
        counter(names.COMMIT_FAILURES, lambda: commits.failed)
        gauge(names.COMMIT_WAITING_SECONDS, lambda: commits.waiting_seconds(asyncio.get_running_loop().time()))
        gauge(names.AUDIT_WAITING, lambda: watched.audit.waiting)
        counter(names.BACKGROUND_FAILURES, lambda: watched.background_failures)
        if watched.quotas.shared is not None:
            server = watched.quotas.shared.server
            gauge(names.QUOTA_STORE_DOWN, lambda: server.is_away)
            counter(names.QUOTA_STORE_ABSENCES, lambda: server.absences)
        if watched.replica is not None:
            reader = watched.replica.reader
            counter(names.REPLICA_READS, lambda: reader.reads)
            counter(names.REPLICA_FALLBACKS, lambda: reader.fallbacks)
        if (lines := self._access_log) is not None:
            counter(names.ACCESS_LINES_DROPPED, lambda: lines.dropped)
        if (traces := self._traces) is not None:
            counter(names.TRACES_EXPORTED, lambda: traces.exported)
            counter(names.TRACES_DROPPED, lambda: traces.dropped)


def _traces(settings: Settings, clock: Clock) -> TraceObserver | None:
    if settings.traces_url is None:
        return None
    try:
        from omnilab.telemetry.tracing import Traces  # noqa: PLC0415 - loads OpenTelemetry's SDK
    except ImportError as error:
        words = "OMNILAB_TRACES_URL needs OpenTelemetry: pip install 'omnilab[otel]'."
        raise ProvisioningError("settings_invalid", words) from error
    return Traces(settings.traces_url, clock, ratio=settings.traces_ratio, environment=settings.environment)


def logs_text(settings: Settings) -> bool:
    """Whether logs are for people: asked for, or nobody asked and standard error is a terminal."""
    return settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
