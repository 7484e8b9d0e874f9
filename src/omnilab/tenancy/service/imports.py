"""Taking over the credentials of an earlier system, so that its callers need not change on the day of the move."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from omnilab.audit.model import Actor
from omnilab.errors import ProvisioningError
from omnilab.storage.database import Transaction
from omnilab.tenancy.legacy_file import Entry, Rejection, read_entries
from omnilab.tenancy.model.nouns import Audience, Client, Tenant
from omnilab.tenancy.model.orders import LegacyCredential, NewClient
from omnilab.tenancy.service.clients import add_client
from omnilab.tenancy.service.documents import Document
from omnilab.tenancy.service.drafts import DraftSecret, draft_client, legacy_secret
from omnilab.tenancy.service.finding import get_audiences, get_tenant
from omnilab.tenancy.service.means import Means, Note
from omnilab.tenancy.service.rights import of_client
from omnilab.tenancy.store.clients import ClientDirectory
from omnilab.tenancy.store.secrets import SecretReader, SecretStore

# Rows of one round share commits; a row's own transaction is undone alone when it is refused.
_ROUND = 100


class Imports:
    """`clients import`. The same file twice changes nothing the second time."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def add_file(
        self, path: Path, *, actor: Actor, advance: Callable[[int], None] = lambda _rows: None
    ) -> Document:
        """Import a file; rows that are refused go to `<path>.rejected.jsonl` without their secrets.

        `advance` is told how many rows were just done. Raises ProvisioningError when the file cannot be read.
        """
        counts = {"imported": 0, "existing": 0}
        rejected: list[Rejection] = []
        entries = read_entries(path)
        while batch := list(islice(entries, _ROUND)):
            for outcome in await asyncio.gather(*(self._try(each, actor) for each in batch)):
                if isinstance(outcome, Rejection):
                    rejected.append(outcome)
                else:
                    counts[outcome] += 1
            advance(len(batch))
        rejects = path.with_name(path.name + ".rejected.jsonl")
        _write_rejects(rejects, rejected)
        return {
            "file": str(path),
            **counts,
            "rejected": len(rejected),
            "rejected_file": str(rejects) if rejected else None,
        }

    async def add(self, credential: LegacyCredential, *, actor: Actor) -> str:
        """Import one credential: `imported`, or `existing` when it is there already. Raises ProvisioningError."""
        note = self._means.note(actor)
        draft = legacy_secret(
            self._means,
            credential.client_id,
            credential.client_secret,
            now_ms=note.now_ms,
            expires_at=credential.expires_at,
        )

        async def unit(tx: Transaction) -> str:
            tenant = await get_tenant(tx, credential.tenant)
            if await SecretReader(tx, tenant.tenant_id).find_by_digest(credential.client_id, draft.digest):
                return "existing"
            if credential.expires_at <= note.now_ms:
                raise ProvisioningError("legacy_expired", "legacy_expires_at is in the past.")
            wanted = () if credential.audience is None else (credential.audience,)
            audiences = await get_audiences(tx, tenant, wanted)
            owner = await ClientDirectory(tx).find_owner(credential.client_id)
            if owner is None:
                await self._add_client(tx, note, credential, placed=(tenant, audiences), secret=draft)
            else:
                await _add_secret(tx, note, credential, placed=(tenant, audiences), secret=draft)
            return "imported"

        return await self._means.db.change(unit)

    async def _try(self, entry: Entry | Rejection, actor: Actor) -> str | Rejection:
        if isinstance(entry, Rejection):
            return entry
        try:
            return await self.add(entry.credential, actor=actor)
        except ProvisioningError as error:
            return Rejection(entry.line, error.detail, entry.row)

    async def _add_client(
        self,
        tx: Transaction,
        note: Note,
        credential: LegacyCredential,
        *,
        placed: tuple[Tenant, list[Audience]],
        secret: DraftSecret,
    ) -> None:
        order = NewClient(tenant=credential.tenant, name=credential.client_id[:200], allow=credential.allowed)
        draft = draft_client(order, note.now_ms, credential.client_id)
        await add_client(tx, self._means, note, placed=(*placed, draft), secret=secret)


async def _add_secret(
    tx: Transaction,
    note: Note,
    credential: LegacyCredential,
    *,
    placed: tuple[Tenant, list[Audience]],
    secret: DraftSecret,
) -> None:
    """One more secret of a client that is there: only with the rights it has, for an import changes none."""
    tenant, audiences = placed
    client: Client | None = await ClientDirectory(tx).find(credential.client_id)
    if client is None or client.tenant_id != tenant.tenant_id:
        raise ProvisioningError("client_id_taken", "The client id belongs to another tenant's client.")
    if tuple(client.grants) != credential.allowed or audiences[0].audience not in client.audiences:
        raise ProvisioningError(
            "client_exists",
            "The client is there with other grants or audiences; an import changes neither. Use `omnilab grants`.",
        )
    await SecretStore(tx, tenant.tenant_id).insert(secret.row)
    await note.write(tx, "secrets:import", of_client(client, secret.secret.secret_id), {"label": secret.secret.label})


def _write_rejects(path: Path, rejected: list[Rejection]) -> None:
    """Only the rows of this run: an older file would be taken for this run's."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    if not rejected:
        return
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for each in sorted(rejected, key=lambda rejection: rejection.line):
            line = {"line": each.line, "reason": each.reason, "row": dict(each.row)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
