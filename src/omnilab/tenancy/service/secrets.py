"""Secrets: add, list, revoke, and note that one was exposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from omnilab.audit.model import Actor
from omnilab.audit.model.events import SECRET_EXPOSED
from omnilab.crypto.client_secret import secret_digest
from omnilab.storage.database import Reader, Transaction
from omnilab.tenancy.model.nouns import Client, ClientSecret, secret_status
from omnilab.tenancy.model.orders import Rotation
from omnilab.tenancy.model.verdict import Used, verdict_of
from omnilab.tenancy.refusals import checked, secret_unknown
from omnilab.tenancy.service.documents import Document, IssuedSecret, secret_document
from omnilab.tenancy.service.drafts import as_reason, new_secret
from omnilab.tenancy.service.finding import get_client
from omnilab.tenancy.service.means import Means, Touched
from omnilab.tenancy.service.rights import of_client
from omnilab.tenancy.store.secret_addresses import list_addresses
from omnilab.tenancy.store.secrets import SecretReader, SecretStore, list_all_digests


class Secrets:
    """The verbs on a client's credentials. Rotation = a new one beside the old, watch the callers move, revoke."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def add(
        self, client_id: str, *, label: str | None = None, expires_in_seconds: int | None = None, actor: Actor
    ) -> IssuedSecret:
        """Give a client one more live secret."""
        note = self._means.note(actor)
        draft = new_secret(self._means, client_id, note.now_ms, label=label, expires_in_seconds=expires_in_seconds)

        async def unit(tx: Transaction) -> None:
            client = await get_client(tx, client_id)
            await SecretStore(tx, client.tenant_id).insert(draft.row)
            details = {"label": draft.secret.label, "expires_at": draft.secret.expires_at}
            await note.write(tx, "secrets:add", of_client(client, draft.secret.secret_id), details)

        await self._means.db.change(unit)
        return draft.issued

    async def list_all(self, client_id: str) -> list[Document]:
        """All credentials of a client, oldest first, with their use. Never their text."""
        client = await get_client(self._means.db, client_id)
        now_ms = self._means.clock.now_ms()
        used = await used_secrets(self._means.db, client)
        return [
            secret_document(client, each.secret, now_ms, verdict=verdict_of(each.secret.secret_id, used, now_ms))
            for each in used
        ]

    async def rotate(self, client_id: str, order: Rotation, *, actor: Actor) -> IssuedSecret:
        """A new secret beside the live ones, which are watched from now on until they are safe to remove."""
        note = self._means.note(actor)
        lifetime_seconds = order.expires_in_seconds
        draft = new_secret(self._means, client_id, note.now_ms, label=order.label, expires_in_seconds=lifetime_seconds)

        async def unit(tx: Transaction) -> None:
            client = await get_client(tx, client_id)
            store = SecretStore(tx, client.tenant_id)
            await store.supersede(client_id, order.overlap_seconds)
            await store.insert(draft.row)
            details = {"label": draft.secret.label, "expires_at": draft.secret.expires_at}
            details["overlap_seconds"] = order.overlap_seconds
            await note.write(tx, "secrets:rotate", of_client(client, draft.secret.secret_id), details)

        await self._means.db.change(unit)
        return draft.issued

    async def identify(self, texts: Sequence[str]) -> dict[str, dict[str, str]]:
        """Whose secrets these texts are: text → tenant, client_id, secret_id, status. Others are left out."""
        known = await list_all_digests(self._means.db)
        now_ms = self._means.clock.now_ms()
        found: dict[str, dict[str, str]] = {}
        for client_id in {row.client_id for row in known.values()}:
            for text in texts:
                row = known.get(secret_digest(self._means.pepper, client_id, text))
                if row is not None:
                    status = secret_status(expires_at=row.expires_at, revoked_at=row.revoked_at, now_ms=now_ms)
                    owner = {"tenant": row.tenant, "client_id": client_id, "secret_id": row.secret_id}
                    found[text] = owner | {"status": status}
        return found

    async def revoke(self, client_id: str, secret_id: str, *, actor: Actor) -> Document:
        """End a credential and every token issued on it, for good."""
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> tuple[ClientSecret, bool]:
            client = await get_client(tx, client_id)
            store = SecretStore(tx, client.tenant_id)
            secret = await store.find(client_id, secret_id)
            if secret is None:
                raise secret_unknown(client_id, secret_id)
            if secret.revoked_at is not None:
                return secret, False
            await store.revoke(client_id, secret_id, note.now_ms)
            await note.write(tx, "secrets:revoke", of_client(client, secret_id), {"label": secret.label})
            return await store.find(client_id, secret_id) or secret, True

        secret, changed = await self._means.db.change(unit)
        client = await get_client(self._means.db, client_id)
        return secret_document(client, secret, note.now_ms) | {"changed": changed}

    async def list_unrevoked(self) -> list[tuple[str, str]]:
        """Client id and secret id of every credential that is not revoked, across tenants."""
        found = await list_all_digests(self._means.db)
        return [(row.client_id, row.secret_id) for row in found.values() if row.revoked_at is None]

    async def clear_exposed(self, client_id: str, secret_id: str, *, reason: str, actor: Actor) -> Document:
        """Take back the mark that a secret was seen where it must not be; the reason goes on record."""
        note = self._means.note(actor)
        why = checked("reason", as_reason, reason)

        async def unit(tx: Transaction) -> tuple[Client, ClientSecret, bool]:
            client = await get_client(tx, client_id)
            store = SecretStore(tx, client.tenant_id)
            secret = await store.find(client_id, secret_id)
            if secret is None:
                raise secret_unknown(client_id, secret_id)
            if secret.exposed_at is not None:
                await store.clear_exposed(client_id, secret_id)
                await note.write(tx, "secrets:clear-exposed", of_client(client, secret_id), {"reason": why})
            return client, replace(secret, exposed_at=None), secret.exposed_at is not None

        client, secret, changed = await self._means.db.change(unit)
        return secret_document(client, secret, note.now_ms) | {"changed": changed}

    async def mark_exposed(self, touched: Touched, *, request_id: str | None = None) -> bool:
        """A right secret came from a browser: note it once, with an audit record. False when it was noted before.

        `touched` names tenant, client and secret, all of them proved; `request_id` is the request's own.
        """
        note = self._means.note(None, request_id)
        client_id, secret_id = str(touched.client_id), str(touched.secret_id)

        async def unit(tx: Transaction) -> bool:
            first = await SecretStore(tx, touched.tenant_id).expose(client_id, secret_id, note.now_ms)
            if first:
                await note.write(
                    tx, "secrets:expose", touched, {"cause": "presented by a browser", **SECRET_EXPOSED.marks}
                )
            return first

        return await self._means.db.change(unit)


async def used_secrets(reader: Reader, client: Client) -> list[Used]:
    """All credentials of a client, oldest first, with the addresses that used them."""
    addresses = await list_addresses(reader, client.tenant_id, client.client_id)
    found = await SecretReader(reader, client.tenant_id).list_all(client.client_id)
    return [Used(each, addresses.get(each.secret_id, {})) for each in found]
