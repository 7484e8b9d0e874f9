"""The composition root of serving: an opened installation → what deciding needs → the ASGI application.

`open_platform` opens an installation for serving; `Platform.start_serving` loads the snapshot and follows the change
feed. With `installation.py`, which commands make do with, the only place that wires.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import structlog

from omnilab import __version__
from omnilab.audit.recorder import AuditRecorder
from omnilab.bookings.routes import booking_operations
from omnilab.clock import Clock
from omnilab.crypto.random import random_bytes
from omnilab.errors import ProvisioningError, UnavailableError
from omnilab.feedback.routes import feedback_operation
from omnilab.gate import Gate
from omnilab.guard import Guard
from omnilab.helpcenter.site import Notices, help_pages
from omnilab.installation import Installation, open_installation
from omnilab.observation import Observation
from omnilab.quotas.model import QuotaLimits
from omnilab.quotas.service import QuotaService
from omnilab.quotas.shared import SharedWindows
from omnilab.settings import Settings
from omnilab.storage.backups import AWAITS_RECONCILE
from omnilab.storage.changes import Change, ChangeFeed, prune_changes
from omnilab.storage.database import Database
from omnilab.storage.installation import find_value
from omnilab.storage.opening import open_database
from omnilab.storage.replica import Replica, ReplicaReader
from omnilab.telemetry.metric_names import SECRET_EXPIRY_WARNINGS
from omnilab.telemetry.metrics import Metrics, MetricsBoard
from omnilab.tenancy.new_addresses import NewAddresses
from omnilab.tenancy.routes import hand_off_operation
from omnilab.tenancy.secret_use import SecretUse
from omnilab.tenancy.snapshot import Snapshot
from omnilab.tokens.routes import token_operations
from omnilab.tokens.routes.documents import RESOURCE_METADATA_PATH, Documents, metadata_of
from omnilab.tokens.routes.token_calls import TokenCalls
from omnilab.tokens.service.introspection import IntrospectionService
from omnilab.tokens.service.issuing import Issuer, TokenService
from omnilab.tokens.service.issuing import Parts as TokenParts
from omnilab.tokens.service.keyring import Keyring
from omnilab.tokens.service.revocation import RevocationService, RevokedTokens
from omnilab.web.addresses import AddressRules
from omnilab.web.application import Application, Parts
from omnilab.web.hand_off_page import hand_off_pages
from omnilab.web.health import health_operations, metrics_operation
from omnilab.web.hosts import HostRules
from omnilab.web.openapi import ApiInfo, openapi_operation
from omnilab.web.operation import Operation
from omnilab.web.security_txt import security_pages
from omnilab.web.simulator import simulate

_log = structlog.get_logger("omnilab.app")
_PRUNE_SECONDS = 3600
_DAY_MS = 86_400_000
_KEYS_LOOKED_AT_SECONDS = 600


@dataclass(kw_only=True)
class Platform(Installation):
    """One opened installation with all that serving needs."""

    snapshot: Snapshot
    secret_use: SecretUse
    keyring: Keyring
    quotas: QuotaService
    tokens: TokenService
    revoked_tokens: RevokedTokens
    guard: Guard
    gate: Gate
    feed: ChangeFeed
    observation: Observation | None = None
    metrics: Metrics | None = None
    background_failures: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    replica: Replica | None = None

    async def start_serving(self) -> None:
        """Load keys and snapshot, then follow the feed. Raises UnavailableError."""
        await self.keyring.load()
        await self.feed.catch_up()
        await self.audit.start()
        if self.quotas.shared is not None:
            await self.quotas.shared.server.start()
        if self.replica is not None:
            await self.replica.database.start()
            self.bookings.lists = self.replica.reader
        forever = (
            self.feed.run,
            self.audit.write_checkpoints,
            self.secret_use.run,
            self.idempotency.run_sweeps,
            self._prune_changes,
            self._rotate_keys,
            self._warn_of_expiry,
            self._every_second,
        )
        self._tasks = [asyncio.create_task(self._kept_running(task)) for task in forever]

    async def ready(self) -> bool:
        """Whether this process can decide now."""
        return self.feed.fresh()

    async def close(self) -> None:
        """Stop following, write what still waits, and let go of the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            with contextlib.suppress(UnavailableError):
                await self.secret_use.flush()
            with contextlib.suppress(UnavailableError):
                self._record_flood(finished_only=False)
        finally:
            if self.quotas.shared is not None:
                await self.quotas.shared.server.close()
            if self.replica is not None:
                await self.replica.database.close()
            await super().close()
            if self.observation is not None:
                await self.observation.close()

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._record_flood()
            if self.observation is not None:
                self.observation.tell()

    def _record_flood(self, *, finished_only: bool = True) -> None:
        """One record for a minute's failed authentications beyond the bound, instead of one for each."""
        flood = self.quotas.take_flood(finished_only=finished_only)
        if flood is not None:
            self.audit.record_flood(flood)

    async def _rotate_keys(self) -> None:
        while (days := self.settings.key_rotation_days) is not None:
            if await self.keys.rotate_when_due(days):
                _log.info("signing_keys_rotated", every_days=days)
            await asyncio.sleep(_KEYS_LOOKED_AT_SECONDS)
        await asyncio.Event().wait()

    async def warn_of_expiry(self) -> list[dict[str, object]]:
        """Warn of secrets that expire in 30, 7 or 1 days: log, metric and record, each once whoever looks."""
        given = await self.tenancy.expiry.warn()
        for each in given:
            named = {name: each[name] for name in ("tenant", "client_id", "secret_id", "expires_at", "days_left")}
            _log.warning("secret_expires", **named)
            if self.metrics is not None:
                self.metrics.add(SECRET_EXPIRY_WARNINGS)
        return given

    async def _warn_of_expiry(self) -> None:
        while True:
            await self.warn_of_expiry()
            await asyncio.sleep(_PRUNE_SECONDS)

    async def _prune_changes(self) -> None:
        while True:
            await self.audit.prepare_months()
            await asyncio.sleep(_PRUNE_SECONDS)
            await self.db.write(lambda tx: prune_changes(tx, self.clock.now_ms()))
            await self.revoked_tokens.sweep(self.db)
            if self.settings.audit_retention_days is not None:
                await self.audit.retain(self.clock.now_ms() - self.settings.audit_retention_days * _DAY_MS, actor=None)
            await self.secret_use.prune()
            await self.tenancy.hand_offs.prune()
            await self.feedback.prune()

    async def _kept_running(self, task: Callable[[], object]) -> None:
        """Run a background task for ever: whatever ends it is logged, and it starts again a moment later."""
        while True:
            try:
                await task()  # type: ignore[misc]
            except UnavailableError as error:
                _log.warning("background_task_failed", task=task.__qualname__, reason=error.reason)
            except Exception as error:  # noqa: BLE001 - a defect here must not stop the service
                _log.error("background_task_crashed", task=task.__qualname__, exc_info=error)
            self.background_failures += 1
            await asyncio.sleep(1)


async def open_platform(settings: Settings, *, clock: Clock | None = None) -> Platform:
    """Open an initialised installation for serving.

    Raises ProvisioningError `not_initialised` or `master_key_wrong`, and UnavailableError.
    """
    return _wire(await open_installation(settings, clock=clock))


def _wire(opened: Installation) -> Platform:
    """Make what serving needs beyond an installation's services, each from those it stands on."""
    settings, db, clock = opened.settings, opened.db, opened.clock
    snapshot = Snapshot(db, open_contact_key=opened.tenancy.open_contact_key, max_clients=settings.snapshot_max_clients)
    keyring = Keyring(db, opened.master_key, clock)
    uses = SecretUse(db, opened.audit, NewAddresses(db, opened.ids))
    quotas = QuotaService(_limits(settings), clock, salt=random_bytes(16), shared=_shared_windows(opened))
    issuer = Issuer(
        environment=settings.environment,
        issuer=settings.public_url,
        pepper=opened.pepper,
        token_url_of=opened.place.token_url,
    )
    issuing = TokenParts(
        snapshot=snapshot,
        quotas=quotas,
        audit=opened.audit,
        uses=uses,
        tripwire=opened.tenancy.secrets,
        keyring=keyring,
        clock=clock,
    )
    revoked_tokens = RevokedTokens(db, clock)
    guard = _guard(settings, keyring, snapshot, clock=clock, revoked_tokens=revoked_tokens)
    return Platform(
        **vars(opened),
        snapshot=snapshot,
        secret_use=uses,
        keyring=keyring,
        quotas=quotas,
        tokens=TokenService(issuer, issuing),
        revoked_tokens=revoked_tokens,
        guard=guard,
        gate=Gate(guard, quotas, standings=snapshot),
        feed=_follow(db, clock, snapshot, keyring, revoked_tokens),
        replica=_replica(settings, db, clock),
    )


def _guard(
    settings: Settings, keyring: Keyring, snapshot: Snapshot, *, clock: Clock, revoked_tokens: RevokedTokens
) -> Guard:
    """Our own guard: keys from memory, and every call asks the snapshot whether the caller still stands."""
    return Guard(
        issuer=settings.public_url,
        audience=None,
        jwks=lambda: keyring.jwks().document,
        standings=snapshot,
        revoked_tokens=revoked_tokens.ids,
        now=lambda: clock.now_ms() / 1000,
    )


def _follow(
    db: Database, clock: Clock, snapshot: Snapshot, keyring: Keyring, revoked_tokens: RevokedTokens
) -> ChangeFeed:
    async def apply(changes: list[Change]) -> None:
        await snapshot.apply(changes)
        await keyring.apply(changes)
        await revoked_tokens.apply(changes)

    async def apply_all() -> None:
        if await find_value(db, AWAITS_RECONCILE) is not None:
            # It was put in place of the one this process knew; until it is reconciled nobody may decide from it.
            raise UnavailableError("the database was restored and is not reconciled: run omnilab db reconcile")
        await snapshot.apply_all()
        await keyring.load()
        await revoked_tokens.load()

    feed = ChangeFeed(db, clock, apply=apply, apply_all=apply_all)
    snapshot.follow(feed)
    return feed


def _limits(settings: Settings) -> QuotaLimits:
    return QuotaLimits.of(
        client_token=settings.client_token_quota,
        client_api=settings.client_api_quota,
        tenant_token=settings.tenant_token_quota,
        tenant_api=settings.tenant_api_quota,
        failed_per_client_per_minute=settings.failed_authentications_per_client_per_minute,
        failed_per_address_per_minute=settings.failed_authentications_per_address_per_minute,
    )


def _replica(settings: Settings, db: Database, clock: Clock) -> Replica | None:
    if settings.replica_url is None:
        return None
    database = open_database(settings.replica_url)
    return Replica(database, ReplicaReader(db, database, clock))


def _shared_windows(opened: Installation) -> SharedWindows | None:
    """Counters in Redis, where the settings name one. Raises ProvisioningError where its driver is missing."""
    if opened.settings.redis_url is None:
        return None
    try:
        from omnilab.quotas.counter_server import CounterServer  # noqa: PLC0415 - loads the driver
    except ImportError as error:
        words = "OMNILAB_REDIS_URL needs the driver of Redis: pip install 'omnilab[redis]'."
        raise ProvisioningError("settings_invalid", words) from error
    return SharedWindows(CounterServer(opened.settings.redis_url), opened.clock, key=opened.pepper)


def operations_of(platform: Platform) -> list[Operation]:
    """Every call of the HTTP surface."""
    settings = platform.settings
    calls = [*_token_operations(platform)]
    calls += booking_operations(platform.bookings)
    info = ApiInfo(
        version=__version__,
        public_url=settings.public_url,
        docs_url=settings.docs_url,
        tenant_domain=settings.tenant_domain,
    )
    operations = [*calls, openapi_operation(calls, info), *health_operations(platform.ready)]
    operations += [hand_off_operation(platform.tenancy.hand_offs), feedback_operation(platform.feedback)]
    if settings.environment == "development":
        operations.append(metrics_operation(lambda: b"" if platform.metrics is None else platform.metrics.render()))
    return operations


def _token_operations(platform: Platform) -> list[Operation]:
    settings, guard, clock, audit = platform.settings, platform.guard, platform.clock, platform.audit
    calls = TokenCalls(
        platform.tokens,
        platform.quotas,
        revocation=RevocationService(platform.db, clock, guard=guard, audit=audit, catch_up=platform.feed.catch_up),
        introspection=IntrospectionService(guard, audit, clock),
    )
    metadata = metadata_of(settings.public_url, settings.docs_url)
    documents = Documents(platform.keyring, metadata, platform.place.base_url)
    return token_operations(
        platform.tokens, calls, platform.quotas, documents=documents, environment=settings.environment
    )


def create_app(platform: Platform, *, board: MetricsBoard | None = None, row: int = 0) -> tuple[Application, Metrics]:
    """The ASGI application and what counts its requests. `board` and `row`: this worker's place among several."""
    settings = platform.settings
    operations = operations_of(platform)
    metrics = Metrics([operation.operation_id for operation in operations], board=board, row=row)
    platform.metrics = metrics
    platform.observation = Observation(platform, metrics)
    hosts = HostRules(
        environment=settings.environment, public_url=settings.public_url, tenant_domain=settings.tenant_domain
    )
    parts = Parts(
        gate=platform.gate,
        recorder=AuditRecorder(platform.audit, platform.clock),
        ids=platform.ids,
        clock=platform.clock,
        hosts=hosts,
        addresses=AddressRules(settings.trusted_proxies),
        docs_url=settings.docs_url,
        resource_metadata_of=lambda tenant: (
            (platform.place.base_url(tenant) if tenant else settings.public_url) + RESOURCE_METADATA_PATH
        ),
        observers=platform.observation.observers,
        simulate=simulate if settings.environment == "development" else None,
    )
    notices = Notices(
        settings.docs_banner_text,
        settings.docs_banner_url,
        settings.status_page_url,
        try_it=settings.environment == "development",
    )
    pages = [
        *hand_off_pages(),
        *help_pages(partial(_base_url_of, platform, hosts), notices),
        *security_pages(settings.security_contact, settings.public_url, platform.clock),
    ]
    return Application(operations, parts, pages=pages), metrics


def _base_url_of(platform: Platform, hosts: HostRules, host: bytes | None) -> str:
    tenant = hosts.tenant_of(host)
    return platform.place.base_url(tenant) if tenant else platform.settings.public_url
