"""Answers to writes that carried an `Idempotency-Key`, kept so that a repeated call gets the first answer again.

Promises that one key does one thing: the answer is kept in the write's own transaction, so either both are there
or neither, across concurrent calls and `kill -9`. Only answers of writes that succeeded are kept, for 24 hours.
The caller's key and body are kept as HMACs. Must not know what the writes are, nor HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import LargeBinary, bindparam, delete, insert, select, tuple_

from omnilab.clock import Clock
from omnilab.crypto.keyed_digest import keyed_digest
from omnilab.errors import ConflictError, UnavailableError
from omnilab.storage.database import Database, DuplicateRowError, Transaction
from omnilab.storage.idempotency_tables import idempotency_records
from omnilab.storage.statement import Statement

KEPT_MS = 24 * 3600 * 1000
SWEEP_SECONDS = 60.0
SWEEP_ROWS = 200
# How often a write is tried when writers on other machines keep being first, before its caller is told to wait.
_ATTEMPTS = 3

_r = idempotency_records.c
_KEY_COLUMNS = (_r.tenant_id, _r.client_id, _r.call, _r.key_digest)
_KEY_PARAMS = ("tenant", "client", "operation", "key")
_IS_KEY = tuple(column == bindparam(name) for column, name in zip(_KEY_COLUMNS, _KEY_PARAMS, strict=True))

_FIND = Statement(select(_r.body_digest, _r.status, _r.answer, _r.expires_at).where(*_IS_KEY), *_KEY_PARAMS)
_KEEP = Statement(insert(idempotency_records), *(column.name for column in idempotency_records.columns))
_DROP = Statement(delete(idempotency_records).where(*_IS_KEY), *_KEY_PARAMS)
_ANSWERS = Statement(
    select(*_KEY_COLUMNS, _r.answer)
    .where(
        _r.tenant_id == bindparam("tenant"),
        tuple_(bindparam("after_client"), bindparam("after_call"), bindparam("after_key", type_=LargeBinary))
        < tuple_(*_KEY_COLUMNS[1:]),
    )
    .order_by(*_KEY_COLUMNS)
    .limit(SWEEP_ROWS),
    "tenant",
    "after_client",
    "after_call",
    "after_key",
)
_SWEEP = Statement(
    delete(idempotency_records).where(
        tuple_(*_KEY_COLUMNS).in_(select(*_KEY_COLUMNS).where(_r.expires_at <= bindparam("now")).limit(SWEEP_ROWS))
    ),
    "now",
)


class RepeatableCall(NamedTuple):
    """Which call of which client this is, and which body it came with; key and body as HMACs."""

    tenant_id: str
    client_id: str
    call: str
    key_digest: bytes
    body_digest: bytes


class Answer(NamedTuple):
    """Status and body of a write's answer; `replayed` when it is the answer of an earlier call."""

    status: int
    body: bytes
    replayed: bool = False


Write = Callable[[Transaction], Awaitable[Answer]]
OnReplay = Callable[[Transaction], Awaitable[None]]


def repeatable_call(secret_key: bytes, owner: tuple[str, str], *, call: str, key: str, body: object) -> RepeatableCall:
    """Identify a call that may be repeated.

    secret_key: the tenant's key for HMACs; owner: tenant id and client id; call: the operation, the same for its
    aliases; key: the `Idempotency-Key` as it came; body: the parsed JSON.
    """
    tenant_id, client_id = owner
    return RepeatableCall(
        tenant_id,
        client_id,
        call,
        keyed_digest(secret_key, b"idempotency-key\0" + key.encode()),
        keyed_digest(secret_key, b"idempotency-body\0" + _canonical(body)),
    )


def _canonical(body: object) -> bytes:
    """Equal JSON as equal bytes: members sorted, no space, one way to write a whole number."""
    return msgspec.json.encode(_whole_numbers(body), order="sorted")


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(member) for member in value]
    return value


class IdempotencyStore:
    """Runs writes at most once for each key."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def write(self, call: RepeatableCall | None, write: Write, *, on_replay: OnReplay | None = None) -> Answer:
        """Run `write` in a transaction and keep its answer under the call's key, or give the answer kept before.

        `on_replay` runs in the transaction that found a kept answer. Writers queue, so a second call that arrives
        while the first is being written waits for its answer here. With None the write just runs.
        Raises ConflictError `idempotency_key_reused`, or `idempotency_in_progress` when other machines are first
        again and again, and whatever `write` raises; then nothing was done.
        """

        async def once(tx: Transaction) -> Answer:
            if call is None:
                return await write(tx)
            kept = await self._find(tx, call)
            if kept is None:
                answer = await write(tx)
                await self._keep(tx, call, answer)
                return answer
            if on_replay is not None:
                await on_replay(tx)
            return kept

        for _ in range(_ATTEMPTS):
            try:
                return await self._db.write(once)
            except DuplicateRowError:
                continue  # a writer on another machine was first: look again at what it left
        if call is None:
            raise UnavailableError("a write met another writer's rows again and again")
        raise in_progress()

    async def _find(self, tx: Transaction, call: RepeatableCall) -> Answer | None:
        """The kept answer; one that has expired is dropped, so that its key can be used anew."""
        row = await tx.fetch_one(_FIND, *call[:4])
        if row is None:
            return None
        body_digest, status, body, expires_at = row
        if expires_at <= self._clock.now_ms():
            await tx.execute(_DROP, *call[:4])
            return None
        if body_digest != call.body_digest:
            raise key_reused()
        return Answer(int(status), bytes(body), replayed=True)

    async def _keep(self, tx: Transaction, call: RepeatableCall, answer: Answer) -> None:
        await tx.execute(_KEEP, *call, answer.status, answer.body, self._clock.now_ms() + KEPT_MS)

    async def sweep(self) -> int:
        """Delete a batch of expired answers; returns how many. The batch is small so that no write waits long."""
        now_ms = self._clock.now_ms()

        async def unit(tx: Transaction) -> int:
            return await tx.execute(_SWEEP, now_ms)

        return await self._db.write(unit)

    async def run_sweeps(self) -> None:
        """Sweep until cancelled: batch after batch while there is something, then once a minute."""
        while True:
            try:
                swept = await self.sweep()
            except UnavailableError:
                swept = 0
            await asyncio.sleep(0.05 if swept == SWEEP_ROWS else SWEEP_SECONDS)


async def forget_answers(tx: Transaction, tenant_id: str, names: Callable[[bytes], bool]) -> int:
    """Drop the kept answers of a tenant that `names` picks; returns how many. Their keys can then be used anew."""
    dropped, after = 0, ("", "", b"")
    while rows := await tx.fetch(_ANSWERS, tenant_id, *after):
        for row in rows:
            after = (row[1], row[2], bytes(row[3]))
            if names(bytes(row[4])):
                dropped += await tx.execute(_DROP, *row[:4])
    return dropped


def key_reused() -> ConflictError:
    """The key came before with another body."""
    return ConflictError(
        "idempotency_key_reused",
        "This Idempotency-Key was used before for this call with another body. Use a new key for a new request.",
        check="idempotency",
        expected="the body the key was first used with",
        found="another body",
    )


def in_progress() -> ConflictError:
    """The first call with this key is still being written."""
    return ConflictError(
        "idempotency_in_progress",
        "A request with this Idempotency-Key is being worked on. Send it again after the time in Retry-After.",
        retry_after_seconds=1,
        check="idempotency",
        expected="no other request with this key at work",
        found="one at work",
    )
