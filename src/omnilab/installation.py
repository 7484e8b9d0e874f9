"""One installation, opened: settings → storage → the services that every command and every serving process needs.

`open_installation` opens what `initialise` has made. A command needs no more; a serving process builds on it in
`omnilab.app`. Apart from that because a command pays for every import with each call: must not load what only a
server needs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from omnilab.audit.model import Actor
from omnilab.audit.service import AuditService
from omnilab.bookings.service import BookingImporter, BookingService, ContactErasure
from omnilab.clock import Clock, SystemClock
from omnilab.crypto.random import RequestIds, random_bytes
from omnilab.crypto.sealing import KEY_BYTES, MasterKey, SealBrokenError
from omnilab.errors import ProvisioningError, UnavailableError
from omnilab.feedback.service import FeedbackService
from omnilab.settings import Settings
from omnilab.storage import schema
from omnilab.storage.backups import AWAITS_RECONCILE
from omnilab.storage.database import Database, Reader, Transaction
from omnilab.storage.idempotency import IdempotencyStore
from omnilab.storage.installation import find_value, set_value
from omnilab.storage.opening import missing_file, open_database
from omnilab.tenancy.model.place import Place
from omnilab.tenancy.service import TenancyService
from omnilab.tokens.service.rotation import KeyService

# Random keys of the installation, sealed under the master key: name in the table `installation`.
PEPPER, CHAIN_KEY = "pepper", "audit_chain_key"
_SEAL_KIND = "installation"


@dataclass(kw_only=True)
class Installation:
    """One opened installation and the services on it. `pepper`: the key of the digests of client secrets."""

    settings: Settings
    db: Database
    clock: Clock
    ids: Callable[[], str]
    master_key: MasterKey
    pepper: bytes
    place: Place
    audit: AuditService
    tenancy: TenancyService
    keys: KeyService
    idempotency: IdempotencyStore
    bookings: BookingService
    importer: BookingImporter
    erasure: ContactErasure
    feedback: FeedbackService

    async def close(self) -> None:
        """Write what still waits, and let go of the database."""
        try:
            with contextlib.suppress(UnavailableError):
                await self.audit.close()
        finally:
            await self.db.close()


async def open_installation(settings: Settings, *, clock: Clock | None = None, restored: bool = False) -> Installation:
    """Open an initialised installation; `restored`: also one that was restored and is not reconciled yet.

    Raises ProvisioningError `not_initialised`, `master_key_wrong` or `reconcile_first`, and UnavailableError.
    """
    clock = clock or SystemClock()
    master_key = _master_key(settings)
    if path := missing_file(settings.database_url):
        raise ProvisioningError("not_initialised", f"There is no database {path} yet: run `omnilab init` first.")
    db = open_database(settings.database_url)
    await db.start()
    try:
        settings = await _as_installed(settings, db)
        if not restored:
            await refuse_restored(db)
        pepper, chain_key = await _open_keys(db, master_key)
        return _wire(settings, db, clock=clock, keys=(master_key, pepper, chain_key))
    except BaseException:
        await db.close()
        raise


def _master_key(settings: Settings) -> MasterKey:
    if settings.master_key is None:
        raise ProvisioningError("not_initialised", "There is no master key yet: run `omnilab init` first.")
    path = settings.master_key_path
    again = None if path is None else partial(path.read_text, "ascii")
    return MasterKey.parse(settings.master_key.reveal(), again=again)


async def _as_installed(settings: Settings, db: Database) -> Settings:
    """The settings with what `init` kept. Raises ProvisioningError for another schema or environment."""
    try:
        await schema.check_schema(db)
    except schema.SchemaError as error:
        raise ProvisioningError("not_initialised", f"{str(error)[0].upper()}{str(error)[1:]}.") from error
    environment = await find_value(db, "environment")
    if environment is None:
        raise ProvisioningError(
            "not_initialised",
            "The database is empty: run `omnilab init` for a new installation; where a restore or a copy was "
            "interrupted, run it again.",
        )
    if environment != settings.environment:
        raise _other_environment(environment, settings.environment)
    return _with_issuer(settings, await find_value(db, "issuer"))


async def refuse_restored(reader: Reader) -> None:
    """Raises ProvisioningError `reconcile_first` for a database that was restored: what was revoked since its backup
    would come to life again."""
    if await find_value(reader, AWAITS_RECONCILE) is not None:
        raise ProvisioningError(
            "reconcile_first",
            "This database was restored from a backup, and what was revoked since would come to life again. Run "
            "omnilab db reconcile --export FILE (the newest audit export kept elsewhere), or, where there is none, "
            "omnilab db reconcile --revoke-all-since TIME.",
        )


def _with_issuer(settings: Settings, issuer: str | None) -> Settings:
    """The kept issuer counts unless a public URL is given; the documentation moves along unless it has its own URL."""
    if issuer is None or settings.public_url_given:
        return settings
    moved = settings.docs_url == f"{settings.public_url}/docs"
    docs_url = f"{issuer}/docs" if moved else settings.docs_url
    return dataclasses.replace(settings, public_url=issuer, docs_url=docs_url)


def _other_environment(installed: str, asked: str) -> ProvisioningError:
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


def _place(settings: Settings) -> Place:
    days = settings.secret_max_age_days
    return Place(
        environment=settings.environment,
        issuer=settings.public_url,
        tenant_domain=settings.tenant_domain,
        secret_max_age_seconds=None if days is None else days * 86_400,
        hand_off_seconds=settings.hand_off_hours * 3600,
    )


def _wire(settings: Settings, db: Database, *, clock: Clock, keys: tuple[MasterKey, bytes, bytes]) -> Installation:
    """Make every service, each from those it stands on."""
    master_key, pepper, chain_key = keys
    ids = RequestIds(clock)
    audit = AuditService(db, clock, ids, chain_key)
    place = _place(settings)
    idempotency = IdempotencyStore(db, clock)
    return Installation(
        settings=settings,
        db=db,
        clock=clock,
        ids=ids,
        master_key=master_key,
        pepper=pepper,
        place=place,
        audit=audit,
        tenancy=TenancyService(db, clock=clock, ids=ids, audit=audit, place=place, keys=(master_key, pepper)),
        keys=KeyService(db, master_key, clock=clock, audit=audit, ids=ids),
        idempotency=idempotency,
        bookings=BookingService(db, clock, audit, idempotency),
        importer=BookingImporter(db, clock, audit, ids),
        erasure=ContactErasure(db, clock, audit, ids),
        feedback=FeedbackService(db, clock),
    )


async def initialise(settings: Settings, *, actor: Actor, clock: Clock | None = None) -> Sequence[str]:
    """Make an installation, or complete one. Returns what was made, in words; nothing when all was there.

    Raises ProvisioningError when the database belongs to another environment, and UnavailableError.
    """
    clock = clock or SystemClock()
    master_key = _master_key(settings)
    path = missing_file(settings.database_url)
    made = [f"database {path}"] if path else []
    await asyncio.to_thread(schema.upgrade, settings.database_url)
    db = open_database(settings.database_url)
    await db.start()
    try:
        installed = await find_value(db, "environment")
        if installed is not None and installed != settings.environment:
            raise _other_environment(installed, settings.environment)
        made += await db.change(lambda tx: _install(tx, settings, master_key))
    finally:
        await db.close()
    installation = await open_installation(settings, clock=clock)
    try:
        made += [f"signing key {key_id}" for key_id in await installation.keys.ensure(actor=actor)]
        await installation.db.change(installation.tenancy.tenants.ensure_platform)
    finally:
        await installation.close()
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


async def reseal(installed: Installation, *, actor: Actor) -> dict[str, int]:
    """Seal everything under the first master key; what it says how many of. Running processes read on meanwhile.

    What is sealed stays the same, so every credential, token and audit chain lives on. In small units: between two of
    them others write. Raises SealBrokenError, with nothing half done: what was resealed opens, and so does the rest.
    """
    installed.master_key.refresh()
    values = await installed.db.change(lambda tx: _reseal_values(tx, installed.master_key))
    contact_keys = await installed.tenancy.tenants.reseal()
    return await installed.keys.reseal(actor=actor, others={"installation": values, "tenants": contact_keys})


async def _reseal_values(tx: Transaction, master_key: MasterKey) -> int:
    count = 0
    for name in (PEPPER, CHAIN_KEY):
        sealed = master_key.reseal(_SEAL_KIND, name, base64.b64decode(await find_value(tx, name) or ""))
        if sealed is not None:
            await set_value(tx, name, base64.b64encode(sealed).decode())
            count += 1
    return count
