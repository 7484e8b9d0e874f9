"""Audiences: the APIs of a tenant that tokens are issued for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from omnilab.audit.model import Actor
from omnilab.errors import ProvisioningError
from omnilab.storage.database import Transaction
from omnilab.tenancy.model import rules
from omnilab.tenancy.model.nouns import Audience, Tenant
from omnilab.tenancy.model.orders import AudienceChange, NewAudience
from omnilab.tenancy.refusals import audience_unknown, checked, ruled
from omnilab.tenancy.service.documents import Document, audience_document
from omnilab.tenancy.service.finding import get_tenant
from omnilab.tenancy.service.means import Means, Note
from omnilab.tenancy.service.rights import endpoint_names
from omnilab.tenancy.service.tenants import touched
from omnilab.tenancy.store.audiences import AudienceReader, AudienceStore


class Audiences:
    """The verbs on audiences. Every change needs an actor; refusals are ProvisioningErrors."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def create(self, key: str, new: NewAudience, *, actor: Actor) -> Document:
        """Add an API to a tenant. Its endpoints must belong to none of the tenant's other audiences."""
        note = self._means.note(actor)
        audience = Audience(
            checked("audience", rules.audience_uri, new.audience),
            ruled(rules.algorithm, new.algorithm),
            lifetime(new.lifetime_seconds),
            endpoint_names(new.endpoints),
            is_default=False,
            created_at=note.now_ms,
        )
        self._refuse_others_default(key, audience.audience)

        async def unit(tx: Transaction) -> None:
            tenant = await get_tenant(tx, key)
            store = AudienceStore(tx, tenant.tenant_id)
            known = await store.list_all()
            if any(each.audience == audience.audience for each in known):
                raise ProvisioningError(
                    "audience_exists", f"The tenant {key} has the audience {audience.audience}; update it instead."
                )
            refuse_taken_endpoints(audience, known)
            await store.insert(audience)
            await self._note(tx, note, verb="audiences:create", tenant=tenant, audience=audience)

        await self._means.db.change(unit)
        return audience_document(key, audience)

    async def update(self, key: str, uri: str, change: AudienceChange, *, actor: Actor) -> Document:
        """Change only what is given; `endpoints` replaces the list."""
        if change == AudienceChange():
            raise ProvisioningError(
                "nothing_to_change", "Give at least one of --alg, --lifetime-seconds and --endpoint."
            )
        note = self._means.note(actor)

        async def unit(tx: Transaction) -> Audience:
            tenant = await get_tenant(tx, key)
            store = AudienceStore(tx, tenant.tenant_id)
            known = {each.audience: each for each in await store.list_all()}
            if uri not in known:
                raise audience_unknown(key, uri, known)
            audience = changed_audience(known[uri], change)
            refuse_taken_endpoints(audience, known.values())
            await store.update(audience)
            await self._note(tx, note, verb="audiences:update", tenant=tenant, audience=audience)
            return audience

        return audience_document(key, await self._means.db.change(unit))

    async def list_all(self, key: str) -> list[Document]:
        """A tenant's audiences, the default one first."""
        tenant = await get_tenant(self._means.db, key)
        found = await AudienceReader(self._means.db, tenant.tenant_id).list_all()
        return [audience_document(key, each) for each in found]

    def _refuse_others_default(self, key: str, uri: str) -> None:
        """Tokens of one tenant must never name the API of another, nor of one that may come."""
        owner = self._means.place.owner_of_audience(uri)
        if owner is not None and owner != key:
            raise ProvisioningError(
                "audience_reserved", f"{uri} is the default audience of the tenant key {owner}; no other may have it."
            )

    async def _note(self, tx: Transaction, note: Note, *, verb: str, tenant: Tenant, audience: Audience) -> None:
        details: dict[str, str | int | None] = {
            "audience": audience.audience,
            "algorithm": audience.algorithm,
            "lifetime_seconds": audience.lifetime_seconds,
            "endpoints": " ".join(audience.endpoints),
        }
        await note.write(tx, verb, touched(tenant), details)


def lifetime(seconds: int) -> int:
    """The lifetime by the rules. Raises ProvisioningError."""
    return ruled(lambda text: rules.lifetime_seconds(int(text)), str(seconds))


def changed_audience(audience: Audience, change: AudienceChange) -> Audience:
    """The audience after a change, by the rules. Raises ProvisioningError."""
    if change.algorithm is not None:
        audience = replace(audience, algorithm=ruled(rules.algorithm, change.algorithm))
    if change.lifetime_seconds is not None:
        audience = replace(audience, lifetime_seconds=lifetime(change.lifetime_seconds))
    if change.endpoints is not None:
        audience = replace(audience, endpoints=endpoint_names(change.endpoints))
    return audience


def refuse_taken_endpoints(audience: Audience, known: Iterable[Audience]) -> None:
    """An endpoint belongs to one audience, or a token's scope would be ambiguous. Raises ProvisioningError."""
    for other in known:
        both = sorted(set(audience.endpoints) & set(other.endpoints))
        if other.audience != audience.audience and both:
            raise ProvisioningError(
                "endpoint_taken", f"The endpoint {both[0]} belongs to the audience {other.audience} already."
            )
