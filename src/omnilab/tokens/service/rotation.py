"""The life of the signing keys: made by `init`, promoted and retired by `keys rotate`, listed by `keys list`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec

from omnilab.audit.model import Actor, AuditRecord
from omnilab.audit.service import AuditService
from omnilab.clock import Clock
from omnilab.crypto.random import new_id
from omnilab.crypto.sealing import MasterKey
from omnilab.crypto.signing import ALGORITHMS, generate_private_key, private_key_der, public_jwk
from omnilab.storage.changes import append_change
from omnilab.storage.database import Database, Transaction
from omnilab.storage.tables import PLATFORM_TENANT
from omnilab.tokens import store
from omnilab.tokens.model.decision import utc
from omnilab.tokens.model.keys import SEAL_KIND, SigningKey, decide_rotation, gone_at, missing_keys, rotation_is_due

SealedKey = tuple[SigningKey, bytes]


class KeyService:
    """What operators do with signing keys. Every change is announced on the feed and recorded with its actor."""

    def __init__(
        self, db: Database, master_key: MasterKey, *, clock: Clock, audit: AuditService, ids: Callable[[], str]
    ) -> None:
        self._db = db
        self._master_key = master_key
        self._clock = clock
        self._audit = audit
        self._ids = ids

    async def ensure(self, *, actor: Actor) -> list[str]:
        """For `init`: a current and a next key for each algorithm where there are none; returns the ids of new ones."""
        now_ms = self._clock.now_ms()
        missing = missing_keys(await self.list_keys())
        made = {pair: new_key(self._master_key, *pair, now_ms=now_ms) for pair in missing}
        if not made:
            return []

        async def unit(tx: Transaction) -> list[str]:
            # Another `init` may have been quicker.
            fresh = [made[pair] for pair in missing_keys(await store.list_keys(tx)) if pair in made]
            await self._add(tx, fresh, "keys:create", actor=actor, now_ms=now_ms)
            return [key.key_id for key, _ in fresh]

        return await self._db.change(unit)

    async def list_keys(self) -> list[SigningKey]:
        """All keys, by algorithm and age; private halves stay where they are."""
        return await store.list_keys(self._db)

    async def list_documents(self) -> list[dict[str, str | None]]:
        """The same as operators see them; times are RFC 3339 in UTC."""
        return [_document(key) for key in await self.list_keys()]

    async def rotate_when_due(self, every_days: int) -> bool:
        """For the service: move on where the keys have grown old. Whether it did; of several processes one does."""
        self._master_key.refresh()
        now_ms = self._clock.now_ms()
        if not rotation_is_due(await self.list_keys(), now_ms=now_ms, every_days=every_days):
            return False
        fresh = await asyncio.to_thread(self._next_keys, now_ms)

        async def unit(tx: Transaction) -> bool:
            keys = await store.list_keys(tx)
            if not rotation_is_due(keys, now_ms=now_ms, every_days=every_days):
                return False  # another process was quicker
            await _move_on(tx, keys, now_ms)
            await self._add(tx, fresh, "keys:rotate-by-age", actor=None, now_ms=now_ms)
            return True

        return await self._db.change(unit)

    async def reseal(self, *, actor: Actor, others: dict[str, int]) -> dict[str, int]:
        """Seal every private key under the first master key, and record it with how many of all kinds were resealed."""
        now_ms = self._clock.now_ms()

        async def unit(tx: Transaction) -> dict[str, int]:
            count = 0
            for key_id, old in await store.list_sealed(tx):
                sealed = self._master_key.reseal(SEAL_KIND, key_id, old)
                if sealed is not None:
                    await store.reseal_key(tx, key_id, sealed)
                    count += 1
            done = others | {"signing_keys": count}
            if any(done.values()):
                await self._note(tx, "keys:reseal", done, actor=actor, now_ms=now_ms)
            return done

        return await self._db.change(unit)

    async def rotate(self, *, actor: Actor, at_once: bool = False, revoke_old: bool = False) -> list[SigningKey]:
        """Promote every `next` key, retire every `current` one, and make new `next` keys; returns all keys then.

        `revoke_old`: in an emergency, no token that any older key signed counts from now on.

        Raises ProvisioningError `rotation_too_early` (see `decide_rotation`) unless `at_once`.
        """
        now_ms = self._clock.now_ms()
        # An RSA key takes a second to make, and the writer's turn is short: make them before.
        fresh = self._next_keys(now_ms)
        verb = "keys:rotate-now" if at_once else "keys:rotate"

        async def unit(tx: Transaction) -> None:
            keys = await store.list_keys(tx)
            decide_rotation(keys, now_ms=now_ms, at_once=at_once)
            await _move_on(tx, keys, now_ms, revoke_old=revoke_old)
            await self._add(tx, fresh, "keys:revoke-old" if revoke_old else verb, actor=actor, now_ms=now_ms)

        await self._db.change(unit)
        return await self.list_keys()

    def _next_keys(self, now_ms: int) -> list[SealedKey]:
        return [new_key(self._master_key, algorithm, "next", now_ms=now_ms) for algorithm in ALGORITHMS]

    async def _add(
        self, tx: Transaction, fresh: list[SealedKey], verb: str, *, actor: Actor | None, now_ms: int
    ) -> None:
        """Add keys, announce it to every process, and record who did it, in one transaction."""
        await store.add_keys(tx, fresh)
        details = {f"{key.algorithm} {key.status}": key.key_id for key, _ in fresh}
        await self._note(tx, verb, details, actor=actor, now_ms=now_ms)

    async def _note(
        self, tx: Transaction, verb: str, details: Mapping[str, str | int], *, actor: Actor | None, now_ms: int
    ) -> None:
        await append_change(tx, PLATFORM_TENANT, "keys", now_ms=now_ms)
        record = AuditRecord(
            request_id=self._ids(),
            occurred_at=now_ms,
            tenant_id=PLATFORM_TENANT,
            endpoint=verb,
            outcome="granted",
            details=dict(details),
            actor=actor,
        )
        self._audit.record_in(tx, record)


def new_key(master_key: MasterKey, algorithm: str, status: str, *, now_ms: int) -> SealedKey:
    """A fresh key and its sealed private half."""
    private = generate_private_key(algorithm)
    key_id = new_id("key_")
    key = SigningKey(
        key_id=key_id,
        algorithm=algorithm,
        status=status,
        public_jwk=msgspec.json.encode(public_jwk(private, key_id, algorithm)).decode(),
        created_at=now_ms,
        activated_at=now_ms if status == "current" else None,
    )
    return key, master_key.seal(SEAL_KIND, key_id, private_key_der(private))


def _document(key: SigningKey) -> dict[str, str | None]:
    return {
        "key_id": key.key_id,
        "algorithm": key.algorithm,
        "status": key.status,
        "created_at": utc(key.created_at),
        "activated_at": None if key.activated_at is None else utc(key.activated_at),
        "retired_at": None if key.retired_at is None else utc(key.retired_at),
    }


async def _move_on(tx: Transaction, keys: list[SigningKey], now_ms: int, *, revoke_old: bool = False) -> None:
    """next → current → retired → gone; `revoke_old`: current and retired → revoked."""
    for key in keys:
        if key.status == "next":
            await store.activate_key(tx, key.key_id, now_ms)
        elif revoke_old and key.status in ("current", "retired"):
            await store.revoke_key(tx, key.key_id, now_ms)
        elif key.status == "current":
            await store.retire_key(tx, key.key_id, now_ms)
        elif now_ms >= gone_at(key):
            await store.remove_key(tx, key.key_id)
