"""Hand-off links: offer one instead of a secret, and make the secret for whoever opens it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnilab.audit.model import Actor
from omnilab.crypto.keyed_digest import keyed_digest
from omnilab.crypto.random import new_id, random_text
from omnilab.crypto.secret import Secret
from omnilab.storage.database import Transaction
from omnilab.tenancy.model.hand_off import HandOff, decide_opening
from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.model.nouns import Client
from omnilab.tenancy.model.orders import Rotation
from omnilab.tenancy.refusals import checked
from omnilab.tenancy.service.documents import Document, client_document
from omnilab.tenancy.service.drafts import as_label, new_secret, secret_lifetime
from omnilab.tenancy.service.finding import get_client
from omnilab.tenancy.service.means import Means, Note
from omnilab.tenancy.service.rights import of_client
from omnilab.tenancy.store.clients import ClientDirectory
from omnilab.tenancy.store.hand_offs import HandOffStore, end_all_hand_offs, find_hand_off, prune_hand_offs
from omnilab.tenancy.store.secrets import SecretStore

PATH = "/hand-off"
_CLAIM_WIDTH = 43  # 62^43 > 2^256
_KEPT_MS = 30 * 86_400_000  # after its end a link still tells its holder what became of it


@dataclass(frozen=True, slots=True)
class DraftLink:
    """A link to be stored, and its claim to be printed once."""

    hand_off: HandOff
    claim: Secret

    def document(self, issuer: str) -> Document:
        """What `--hand-off` prints, the claim in clear: send it to one person and forget it."""
        return {
            "hand_off_id": self.hand_off.hand_off_id,
            "hand_off_url": f"{issuer}{PATH}/{self.hand_off.hand_off_id}#{self.claim.reveal()}",
            "hand_off_expires_at": rfc3339(self.hand_off.expires_at),
        }


class HandOffs:
    """The verbs on hand-off links. Until a link is opened its secret does not exist."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def offer(self, client_id: str, order: Rotation, *, supersede: bool = False, actor: Actor) -> Document:
        """A link to one more secret of a client; `supersede` watches the live ones from now on, as a rotation does."""
        note = self._means.note(actor)
        draft = new_link(self._means, client_id, note.now_ms, order=order)

        async def unit(tx: Transaction) -> None:
            client = await get_client(tx, client_id)
            if supersede:
                await SecretStore(tx, client.tenant_id).supersede(client_id, order.overlap_seconds)
            await add_link(tx, note, client, draft)

        await self._means.db.change(unit)
        return {"client_id": client_id} | draft.document(self._means.place.issuer)

    async def open(self, hand_off_id: str, claim: Secret, *, address: str, request_id: str) -> Document:
        """Make the secret and end the link, in one transaction; the one answer that holds it.

        Raises ConflictError `not_found` for an unknown, ended or opened link.
        """
        digest = claim_digest(self._means.pepper, hand_off_id, claim)
        note = self._means.note(None, request_id)
        found = await find_hand_off(self._means.db, hand_off_id)
        client_id = "" if found is None else found.client_id
        client = await ClientDirectory(self._means.db).find(client_id)
        tenant = "" if client is None else client.tenant
        known = decide_opening(found if client else None, digest, tenant=tenant, now_ms=note.now_ms)
        lifetimes = [known.secret_lifetime_seconds, self._means.place.secret_max_age_seconds]
        shortest = min((each for each in lifetimes if each is not None), default=None)
        draft = new_secret(self._means, client_id, note.now_ms, label=known.label, expires_in_seconds=shortest)

        async def unit(tx: Transaction) -> Client:
            # Of several who open it at once the first has ended it.
            decide_opening(await find_hand_off(tx, hand_off_id), digest, tenant=tenant, now_ms=note.now_ms)
            owner = await get_client(tx, client_id)
            await HandOffStore(tx, owner.tenant_id).open(hand_off_id, draft.secret.secret_id, note.now_ms)
            await SecretStore(tx, owner.tenant_id).insert(draft.row)
            details = {"hand_off_id": hand_off_id, "address": address, "label": known.label}
            await note.write(tx, "hand-offs:open", of_client(owner, draft.secret.secret_id), details)
            return owner

        owner = await self._means.db.change(unit)
        shown = client_document(owner, self._means.place)
        kept = {name: shown[name] for name in ("audience", "base_url", "token_url")}
        return draft.issued.document() | {"expires_at": rfc3339(draft.secret.expires_at)} | kept

    async def end(self, hand_off_id: str) -> bool:
        """End a link without making a secret: it was opened before. False where there is none that can be opened."""
        now_ms = self._means.clock.now_ms()

        async def unit(tx: Transaction) -> bool:
            found = await find_hand_off(tx, hand_off_id)
            return found is not None and await HandOffStore(tx, found.tenant_id).open(hand_off_id, "", now_ms)

        return await self._means.db.write(unit)

    async def end_all(self) -> int:
        """End every link that has not been opened. Returns how many."""
        now_ms = self._means.clock.now_ms()
        return await self._means.db.write(lambda tx: end_all_hand_offs(tx, now_ms))

    async def prune(self) -> None:
        """Forget links that ended long ago."""
        before_ms = self._means.clock.now_ms() - _KEPT_MS
        await self._means.db.write(lambda tx: prune_hand_offs(tx, before_ms))


def new_link(means: Means, client_id: str, now_ms: int, *, order: Rotation) -> DraftLink:
    """A fresh link to a secret that is ordered like this. Raises ProvisioningError."""
    hand_off_id, claim = new_id("hof_"), Secret(random_text(_CLAIM_WIDTH))
    hand_off = HandOff(
        tenant_id="",
        hand_off_id=hand_off_id,
        client_id=client_id,
        claim_digest=claim_digest(means.pepper, hand_off_id, claim),
        label=None if order.label is None else checked("label", as_label, order.label),
        secret_lifetime_seconds=secret_lifetime(means.place, order.expires_in_seconds),
        created_at=now_ms,
        expires_at=now_ms + means.place.hand_off_seconds * 1000,
    )
    return DraftLink(hand_off, claim)


def claim_digest(pepper: bytes, hand_off_id: str, claim: Secret) -> bytes:
    """The only stored form of a claim, bound to its link."""
    text = f"hand-off\0{hand_off_id}\0{claim.reveal()}"
    return keyed_digest(pepper, text.encode("utf-8", "surrogatepass"))


async def add_link(tx: Transaction, note: Note, client: Client, draft: DraftLink) -> None:
    """Write a link and who offered it."""
    hand_off = replace(draft.hand_off, tenant_id=client.tenant_id)
    await HandOffStore(tx, client.tenant_id).insert(hand_off)
    details = {"hand_off_id": hand_off.hand_off_id, "label": hand_off.label, "expires_at": hand_off.expires_at}
    await note.write(tx, "hand-offs:create", of_client(client), details)
