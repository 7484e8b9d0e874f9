"""The tree itself: every setting with its unit, its meaning and its default. Reads nothing."""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from omnilab.crypto.secret import Secret
from omnilab.errors import FieldError, ProvisioningError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_DIRECTORY = Path(".omnilab")
DEFAULT_PUBLIC_URL = "http://127.0.0.1:8080"
PREFIX = "OMNILAB_"

# Read by the command line and by the client SDK, which often share an environment with the service.
OTHERS_NAMES = frozenset(
    "OMNILAB_" + name
    for name in (
        "OPERATOR",
        "TICKET",
        "CLIENT_ID",
        "CLIENT_SECRET",
        "CLIENT_SECRET_FILE",
        "AUDIENCE",
        "BASE_URL",
        "TOKEN_CACHE",
    )
)


class SettingsError(ProvisioningError):
    """The settings cannot be used; `errors` names every bad one."""

    def __init__(self, problems: list[FieldError]) -> None:
        lines = [f"{problem.field}: {problem.detail}" for problem in problems]
        super().__init__("settings_invalid", "; ".join(lines), errors=problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one deployment is told. A field `x` is set by `OMNILAB_X` or the key `x` of `omnilab.toml`."""

    environment: str = "development"
    """`development`, `staging` or `production`. One deployment is one environment."""
    database_url: str = field(default="", repr=False)
    """`sqlite:///<path>` (default: `.omnilab/omnilab.db`) or `postgresql://…`. May hold a password: never printed."""
    master_key: Secret | None = None
    """32 bytes in base64 or hex, or in the file named by `OMNILAB_MASTER_KEY_FILE`. Seals keys at rest. While it
    changes several may stand there, apart by spaces or lines: the first seals, each opens (`omnilab keys reseal`)."""
    master_key_path: Path | None = None
    """Derived: the file that the master key was read from."""
    public_url: str = DEFAULT_PUBLIC_URL
    """The service's own URL, without trailing slash: the issuer of its tokens. https outside development."""
    public_url_given: bool = False
    """False where `public_url` is only the default: then what `init` kept in the database counts."""
    tenant_domain: str | None = None
    """Tenants are served on `<tenant>.api.<tenant_domain>`; without it on the public URL alone."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks (CIDR, comma-separated) whose `X-Forwarded-For` and `-Proto` count."""
    docs_url: str = DEFAULT_PUBLIC_URL + "/docs"
    """Where the documentation is read; error answers link to `<docs_url>/errors/<code>`."""
    docs_banner_text: str | None = None
    """A message above every article of the help centre, such as a planned maintenance; `off` = none (the default)."""
    docs_banner_url: str | None = None
    """Where that message leads; `off` = nowhere (the default). Needs a text."""
    status_page_url: str | None = None
    """Where the help centre sends readers to see whether the service is up; `off` = nowhere (the default)."""
    security_contact: str | None = None
    """Whom `/.well-known/security.txt` names: `mailto:…` or an https URL; `off` = no such file (the default)."""
    data_directory: Path = DEFAULT_DIRECTORY
    """Derived: the directory of the SQLite file (otherwise `.omnilab`); a development master key lies here."""
    snapshot_max_clients: int = 200_000
    """Up to so many clients are held complete in memory; above that a bounded cache is used."""
    failed_authentications_per_client_per_minute: int | None = 20
    """Failed authentications of one address for one client; `off` = no bound (the default in development)."""
    failed_authentications_per_address_per_minute: int | None = 200
    """Failed authentications of one address; `off` = no bound (the default in development)."""
    client_token_quota: str | None = "120/minute"
    """Tokens for one client, unless provisioned otherwise; `off` = none (the default in development)."""
    client_api_quota: str | None = "1200/minute"
    """API calls of one client, likewise."""
    tenant_token_quota: str | None = "1200/minute"
    """Tokens for all clients of one tenant, likewise."""
    tenant_api_quota: str | None = "12000/minute"
    """API calls of all clients of one tenant, likewise."""
    replica_url: str | None = field(default=None, repr=False)
    """`postgresql://…` of a streaming replica that lists of bookings are read from; `off` = none (the default). No list
    is older for it: what the replica has not replayed yet is read from the database itself. Never printed."""
    redis_url: str | None = field(default=None, repr=False)
    """`redis://…` or `rediss://…` of a Redis or Valkey in which all workers of all nodes count quotas together; `off` =
    every worker counts by itself (the default). May hold a password: never printed."""
    audit_retention_days: int | None = None
    """Audit records older than this are let go of once an hour; `off` = kept for ever (the default)."""
    key_rotation_days: int | None = 90
    """How old signing keys grow before the service moves on to the next ones; `off` = only by `omnilab keys rotate`."""
    secret_max_age_days: int | None = None
    """No client secret is made that lives longer; `off` = none needs an expiry (the default)."""
    hand_off_hours: int = 72
    """How long a hand-off link can be opened."""
    metrics_port: int | None = None
    """A port of its own for `/metrics`; `off` = none (the default). Development answers it on the public port too."""
    metrics_host: str = "127.0.0.1"
    """Address that the metrics port listens on."""
    traces_url: str | None = None
    """Where an OpenTelemetry collector takes spans over OTLP/HTTP, such as `http://127.0.0.1:4318`; `off` = no traces
    (the default)."""
    traces_ratio: float = 0.05
    """The share of requests that is traced, from 0 to 1. A caller's `traceparent` never makes it more. A span costs
    three quarters of a token's CPU time, so that the default costs 4 %."""
    drain_seconds: int = 30
    """How long a stopping worker lets running requests finish."""
    access_log: bool = True
    """One log line for each request; `off` = none."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error`."""
    log_format: str = "auto"
    """`json`, `text`, or `auto`: text on a terminal, JSON otherwise."""


_DERIVED = ("public_url_given", "data_directory", "master_key_path")
KNOWN = (*(each.name for each in dataclasses.fields(Settings) if each.name not in _DERIVED), "master_key_file")
# No bounds unless asked for: a developer's loop must not meet a 429.
OFF_IN_DEVELOPMENT = tuple(name for name in KNOWN if name.endswith(("_quota", "_per_minute")))
