"""The closed list of metrics that go out. A name here is an interface: dashboards and alerts are built on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as Prometheus shows it, without `_total`. Counters of several workers are added up; of gauges the
    highest counts."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    documentation: str


REQUESTS = Metric("omnilab_requests", "counter", "Requests answered, by call and HTTP status.")
REQUEST_SECONDS = Metric("omnilab_request_duration_seconds", "histogram", "Time to answer a request, by call.")
REFUSALS = Metric("omnilab_refusals", "counter", "Requests refused, by public error code.")
BUILD_INFO = Metric("omnilab_build_info", "gauge", "Always 1; the label says which version runs.")

#: Figures without labels, set through `Metrics.add` and `Metrics.set`.
STARTED_AT_SECONDS = Metric(
    "omnilab_worker_started_at_seconds", "gauge", "When the youngest worker began to serve, in seconds since 1970."
)
SNAPSHOT_CLIENTS = Metric("omnilab_snapshot_clients", "gauge", "Clients held in memory.")
FEED_LAG_SECONDS = Metric("omnilab_feed_lag_seconds", "gauge", "Time since the change feed was last confirmed.")
FEED_FAILURES = Metric("omnilab_feed_failures", "counter", "Reads of the change feed that failed.")

COMMITS = Metric("omnilab_commits", "counter", "Group commits that are durable.")
COMMIT_FAILURES = Metric(
    "omnilab_commit_failures", "counter", "Group commits that failed; who waited for one was answered 503."
)
COMMIT_WAITING_SECONDS = Metric(
    "omnilab_commit_waiting_seconds", "gauge", "How long the oldest group commit has waited for its end."
)
AUDIT_WAITING = Metric("omnilab_audit_waiting", "gauge", "Audit records of reads that are not durable yet.")
BACKGROUND_FAILURES = Metric(
    "omnilab_background_failures", "counter", "How often a background task ended with an error and began again."
)

SECRET_EXPIRY_WARNINGS = Metric(
    "omnilab_secret_expiry_warnings", "counter", "Warnings given 30, 7 and 1 days before a secret expires."
)
QUOTA_STORE_DOWN = Metric(
    "omnilab_quota_store_down",
    "gauge",
    "1 while a worker counts quotas by itself because the shared store does not answer.",
)
QUOTA_STORE_ABSENCES = Metric(
    "omnilab_quota_store_absences", "counter", "How often a worker found the shared store of quotas away."
)
REPLICA_READS = Metric("omnilab_replica_reads", "counter", "Lists of bookings read from the replica.")
REPLICA_FALLBACKS = Metric(
    "omnilab_replica_fallbacks", "counter", "Lists read from the primary because the replica lagged or was away."
)
ACCESS_LINES_DROPPED = Metric(
    "omnilab_access_lines_dropped", "counter", "Lines of the access log that nobody read in time."
)
TRACES_EXPORTED = Metric("omnilab_traces_exported", "counter", "Spans that the collector has taken.")
TRACES_DROPPED = Metric("omnilab_traces_dropped", "counter", "Spans that did not reach the collector.")

FIGURES = (
    STARTED_AT_SECONDS,
    SNAPSHOT_CLIENTS,
    FEED_LAG_SECONDS,
    FEED_FAILURES,
    COMMITS,
    COMMIT_FAILURES,
    COMMIT_WAITING_SECONDS,
    AUDIT_WAITING,
    BACKGROUND_FAILURES,
    SECRET_EXPIRY_WARNINGS,
    QUOTA_STORE_DOWN,
    QUOTA_STORE_ABSENCES,
    REPLICA_READS,
    REPLICA_FALLBACKS,
    ACCESS_LINES_DROPPED,
    TRACES_EXPORTED,
    TRACES_DROPPED,
)

#: Upper bounds of the duration buckets, in seconds: fine where p50 and p99 of the hot calls lie.
DURATION_BUCKETS_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

#: Statuses that are told apart; any other is counted as 0.
STATUSES = (0, 200, 201, 304, 400, 401, 403, 404, 405, 409, 413, 415, 421, 422, 429, 499, 500, 503)
