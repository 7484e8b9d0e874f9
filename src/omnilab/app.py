"""The composition root: settings → storage → services → the ASGI application. The only place that wires.

`open_platform` opens an installation that `initialise` has made. A command that runs once needs no more; a serving
process also calls `Platform.start_serving`, which loads the snapshot and follows the change feed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from omnilab import __version__
from omnilab.audit.model import Actor
from omnilab.audit.recorder import AuditRecorder
from omnilab.audit.service import AuditService
from omnilab.bookings.routes import booking_operations
from omnilab.bookings.service import BookingImporter, BookingService
from omnilab.clock import Clock, SystemClock
from omnilab.crypto.random import RequestIds, random_bytes
from omnilab.crypto.sealing import KEY_BYTES, MasterKey, SealBrokenError
from omnilab.errors import ProvisioningError, UnavailableError
from omnilab.gate import Gate
from omnilab.guard import Guard
from omnilab.quotas.model import QuotaLimits
from omnilab.quotas.service import QuotaService
from omnilab.settings import Settings
from omnilab.storage import schema
from omnilab.storage.changes import Change, ChangeFeed, prune_changes
from omnilab.storage.database import Database, Transaction
from omnilab.storage.idempotency import IdempotencyStore
from omnilab.storage.installation import find_value, set_value
from omnilab.storage.sqlite import SQLiteDatabase
from omnilab.storage.sqlite_files import sqlite_path
from omnilab.telemetry.access_log import AccessLog
from omnilab.telemetry.metric_names import FEED_LAG_SECONDS, SNAPSHOT_CLIENTS
from omnilab.telemetry.metrics import Metrics, MetricsBoard
from omnilab.tenancy.model.place import Place
from omnilab.tenancy.secret_use import SecretUse
from omnilab.tenancy.service import TenancyService
from omnilab.tenancy.snapshot import Snapshot
from omnilab.tokens.routes import token_operations
from omnilab.tokens.service.issuing import Issuer, TokenService
from omnilab.tokens.service.issuing import Parts as TokenParts
from omnilab.tokens.service.keyring import Keyring
from omnilab.tokens.service.rotation import KeyService
from omnilab.web.addresses import AddressRules
from omnilab.web.application import Application, Parts
from omnilab.web.health import health_operations, metrics_operation
from omnilab.web.hosts import HostRules
from omnilab.web.openapi import ApiInfo, openapi_operation
from omnilab.web.operation import Operation
from omnilab.web.pages import error_pages

_log = structlog.get_logger("omnilab.app")
# Random keys of the installation, sealed under the master key: name in the table `installation`.
PEPPER, CHAIN_KEY = "pepper", "audit_chain_key"
_SEAL_KIND = "installation"
_PRUNE_SECONDS = 3600


@dataclass(kw_only=True)
class Platform:
    """One opened installation and all its services."""

    settings: Settings
    db: Database
    clock: Clock
    ids: Callable[[], str]
    audit: AuditService
    tenancy: TenancyService
    snapshot: Snapshot
    secret_use: SecretUse
    keyring: Keyring
    keys: KeyService
    quotas: QuotaService
    tokens: TokenService
    idempotency: IdempotencyStore
    bookings: BookingService
    importer: BookingImporter
    gate: Gate
    feed: ChangeFeed
    access_log: AccessLog | None = None
    metrics: Metrics | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start_serving(self) -> None:
        """Load keys and snapshot, then follow the feed. Raises UnavailableError."""
        await self.keyring.load()
        await self.feed.catch_up()
        await self.audit.start()
        forever = (
            self.feed.run,
            self.secret_use.run,
            self.idempotency.run_sweeps,
            self._prune_changes,
            self._every_second,
        )
        self._tasks = [asyncio.create_task(_kept_running(task)) for task in forever]

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
            with contextlib.suppress(UnavailableError):
                await self.audit.close()
        finally:
            await self.db.close()
            if self.access_log is not None:
                self.access_log.flush()

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._record_flood()
            if self.metrics is not None:
                self.metrics.set(SNAPSHOT_CLIENTS, len(self.snapshot))
                self.metrics.set(FEED_LAG_SECONDS, self.feed.lag_seconds())

    def _record_flood(self, *, finished_only: bool = True) -> None:
        """One record for a minute's failed authentications beyond the bound, instead of one for each."""
        flood = self.quotas.take_flood(finished_only=finished_only)
        if flood is not None:
            self.audit.record_flood(flood)

    async def _prune_changes(self) -> None:
        while True:
            await asyncio.sleep(_PRUNE_SECONDS)
            await self.db.write(lambda tx: prune_changes(tx, self.clock.now_ms()))


async def _kept_running(task: Callable[[], object]) -> None:
    """Run a background task for ever: whatever ends it is logged, and it starts again a moment later."""
    while True:
        try:
            await task()  # type: ignore[misc]
        except UnavailableError as error:
            _log.warning("background_task_failed", task=task.__qualname__, reason=error.reason)
        except Exception as error:  # noqa: BLE001 - a defect here must not stop the service
            _log.error("background_task_crashed", task=task.__qualname__, exc_info=error)
        await asyncio.sleep(1)


async def open_platform(settings: Settings, *, clock: Clock | None = None) -> Platform:
    """Open an initialised installation.

    Raises ProvisioningError `not_initialised` or `master_key_wrong`, and UnavailableError.
    """
    clock = clock or SystemClock()
    master_key = _master_key(settings)
    path = sqlite_path(settings.database_url)
    if not path.exists():
        raise ProvisioningError("not_initialised", f"There is no database {path} yet: run `omnilab init` first.")
    db = SQLiteDatabase(path)
    await db.start()
    try:
        settings = await _as_installed(settings, db)
        pepper, chain_key = await _open_keys(db, master_key)
        return _wire(settings, db, clock=clock, keys=(master_key, pepper, chain_key))
    except BaseException:
        await db.close()
        raise


def _master_key(settings: Settings) -> MasterKey:
    if settings.master_key is None:
        raise ProvisioningError("not_initialised", "There is no master key yet: run `omnilab init` first.")
    return MasterKey.parse(settings.master_key.reveal())


async def _as_installed(settings: Settings, db: Database) -> Settings:
    """The settings with what `init` kept. Raises ProvisioningError for another schema or environment."""
    try:
        await schema.check_schema(db)
    except schema.SchemaError as error:
        raise ProvisioningError("not_initialised", f"{str(error)[0].upper()}{str(error)[1:]}.") from error
    environment = await find_value(db, "environment")
    if environment != settings.environment:
        raise _other_environment(environment, settings.environment)
    return _with_issuer(settings, await find_value(db, "issuer"))


def _with_issuer(settings: Settings, issuer: str | None) -> Settings:
    """The kept issuer counts unless a public URL is given; the documentation moves along unless it has its own URL."""
    if issuer is None or settings.public_url_given:
        return settings
    moved = settings.docs_url == f"{settings.public_url}/docs"
    docs_url = f"{issuer}/docs" if moved else settings.docs_url
    return dataclasses.replace(settings, public_url=issuer, docs_url=docs_url)


def _other_environment(installed: str | None, asked: str) -> ProvisioningError:
    return ProvisioningError(
        "environment_mismatch",
        f"This database belongs to the environment {installed}, the settings say {asked}. "
        "Each environment has a database of its own: correct OMNILAB_ENVIRONMENT or OMNILAB_DATABASE_URL.",
    )


async def _open_keys(db: Database, master_key: MasterKey) -> tuple[bytes, bytes]:
    opened = []
    for name in (PEPPER, CHAIN_KEY):
        text = await find_value(db, name)
        if text is None:
            raise ProvisioningError("not_initialised", "The installation is not complete: run `omnilab init`.")
        try:
            opened.append(master_key.open(_SEAL_KIND, name, base64.b64decode(text)))
        except SealBrokenError as error:
            raise ProvisioningError(
                "master_key_wrong",
                "The master key does not open this installation. Give the one it was made with "
                "(OMNILAB_MASTER_KEY or OMNILAB_MASTER_KEY_FILE).",
            ) from error
    return opened[0], opened[1]


def _wire(settings: Settings, db: Database, *, clock: Clock, keys: tuple[MasterKey, bytes, bytes]) -> Platform:
    """Make every service, each from those it stands on."""
    master_key, pepper, chain_key = keys
    ids = RequestIds(clock)
    audit = AuditService(db, clock, ids, chain_key)
    place = Place(environment=settings.environment, issuer=settings.public_url, tenant_domain=settings.tenant_domain)
    tenancy = TenancyService(db, clock=clock, ids=ids, audit=audit, place=place, keys=(master_key, pepper))
    snapshot = Snapshot(db, open_contact_key=tenancy.open_contact_key, max_clients=settings.snapshot_max_clients)
    keyring = Keyring(db, master_key, clock)
    uses = SecretUse(db)
    quotas = QuotaService(_limits(settings), clock, salt=random_bytes(16))
    issuer = Issuer(
        environment=settings.environment, issuer=settings.public_url, pepper=pepper, token_url_of=place.token_url
    )
    issuing = TokenParts(
        snapshot=snapshot, quotas=quotas, audit=audit, uses=uses, tripwire=tenancy.secrets, keyring=keyring, clock=clock
    )
    guard = _guard(settings, keyring, snapshot, clock)
    idempotency = IdempotencyStore(db, clock)
    return Platform(
        settings=settings,
        db=db,
        clock=clock,
        ids=ids,
        audit=audit,
        tenancy=tenancy,
        snapshot=snapshot,
        secret_use=uses,
        keyring=keyring,
        keys=KeyService(db, master_key, clock=clock, audit=audit, ids=ids),
        quotas=quotas,
        tokens=TokenService(issuer, issuing),
        idempotency=idempotency,
        bookings=BookingService(db, clock, audit, idempotency),
        importer=BookingImporter(db, clock, audit, ids),
        gate=Gate(guard, quotas, standings=snapshot),
        feed=_follow(db, clock, snapshot, keyring),
    )


def _guard(settings: Settings, keyring: Keyring, snapshot: Snapshot, clock: Clock) -> Guard:
    """Our own guard: keys from memory, and every call asks the snapshot whether the caller still stands."""
    return Guard(
        issuer=settings.public_url,
        audience=None,
        jwks=lambda: keyring.jwks().document,
        standings=snapshot,
        now=lambda: clock.now_ms() / 1000,
    )


def _follow(db: Database, clock: Clock, snapshot: Snapshot, keyring: Keyring) -> ChangeFeed:
    async def apply(changes: list[Change]) -> None:
        await snapshot.apply(changes)
        await keyring.apply(changes)

    async def apply_all() -> None:
        await snapshot.apply_all()
        await keyring.load()

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


def operations_of(platform: Platform) -> list[Operation]:
    """Every call of the HTTP surface."""
    settings = platform.settings
    calls = [*token_operations(platform.tokens, platform.keyring, platform.quotas, settings)]
    calls += booking_operations(platform.bookings)
    info = ApiInfo(
        version=__version__,
        public_url=settings.public_url,
        docs_url=settings.docs_url,
        tenant_domain=settings.tenant_domain,
    )
    operations = [*calls, openapi_operation(calls, info), *health_operations(platform.ready)]
    if settings.environment == "development":
        operations.append(metrics_operation(lambda: b"" if platform.metrics is None else platform.metrics.render()))
    return operations


def create_app(platform: Platform, *, board: MetricsBoard | None = None, row: int = 0) -> tuple[Application, Metrics]:
    """The ASGI application and what counts its requests. `board` and `row`: this worker's place among several."""
    settings = platform.settings
    operations = operations_of(platform)
    metrics = Metrics([operation.operation_id for operation in operations], board=board, row=row)
    platform.metrics = metrics
    observers: list[AccessLog | Metrics] = [metrics]
    if settings.access_log:
        platform.access_log = AccessLog(platform.clock, as_text=logs_text(settings))
        observers.append(platform.access_log)
    parts = Parts(
        gate=platform.gate,
        recorder=AuditRecorder(platform.audit, platform.clock),
        ids=platform.ids,
        clock=platform.clock,
        hosts=HostRules(
            environment=settings.environment, public_url=settings.public_url, tenant_domain=settings.tenant_domain
        ),
        addresses=AddressRules(settings.trusted_proxies),
        docs_url=settings.docs_url,
        observers=observers,
    )
    return Application(operations, parts, pages=error_pages()), metrics


def logs_text(settings: Settings) -> bool:
    """Whether logs are for people: asked for, or nobody asked and standard error is a terminal."""
    return settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())


async def initialise(settings: Settings, *, actor: Actor, clock: Clock | None = None) -> Sequence[str]:
    """Make an installation, or complete one. Returns what was made, in words; nothing when all was there.

    Raises ProvisioningError when the database belongs to another environment, and UnavailableError.
    """
    clock = clock or SystemClock()
    master_key = _master_key(settings)
    path = sqlite_path(settings.database_url)
    made = [] if path.exists() else [f"database {path}"]
    await asyncio.to_thread(schema.upgrade, settings.database_url)
    db = SQLiteDatabase(path)
    await db.start()
    try:
        installed = await find_value(db, "environment")
        if installed not in (None, settings.environment):
            raise _other_environment(installed, settings.environment)
        made += await db.write(lambda tx: _install(tx, settings, master_key))
    finally:
        await db.close()
    platform = await open_platform(settings, clock=clock)
    try:
        made += [f"signing key {key_id}" for key_id in await platform.keys.ensure(actor=actor)]
        await platform.db.write(platform.tenancy.tenants.ensure_platform)
    finally:
        await platform.close()
    return made


async def _install(tx: Transaction, settings: Settings, master_key: MasterKey) -> list[str]:
    """Environment, issuer and the sealed keys, each only where it is missing (the issuer also where it is given)."""
    made = []
    if await find_value(tx, "environment") is None:
        await set_value(tx, "environment", settings.environment)
        made.append(f"environment {settings.environment}")
    kept = await find_value(tx, "issuer")
    if kept is None or (settings.public_url_given and kept != settings.public_url):
        await set_value(tx, "issuer", settings.public_url)
        made.append(f"issuer {settings.public_url}")
    for name in (PEPPER, CHAIN_KEY):
        if await find_value(tx, name) is None:
            sealed = master_key.seal(_SEAL_KIND, name, random_bytes(KEY_BYTES))
            await set_value(tx, name, base64.b64encode(sealed).decode())
            made.append(name.replace("_", " "))
    return made
