"""Clients and secrets as they are about to be stored: made from orders by the rules. Raises ProvisioningError."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnilab.crypto.client_secret import new_client_secret, secret_digest
from omnilab.crypto.random import new_id
from omnilab.crypto.secret import Secret
from omnilab.errors import ProvisioningError
from omnilab.tenancy.model import rules
from omnilab.tenancy.model.networks import network_list
from omnilab.tenancy.model.nouns import Audience, Client, ClientSecret, Tenant
from omnilab.tenancy.model.orders import ClientChange, NewClient
from omnilab.tenancy.model.place import Place
from omnilab.tenancy.refusals import checked, ruled
from omnilab.tenancy.service.documents import IssuedSecret
from omnilab.tenancy.service.means import Means
from omnilab.tenancy.service.rights import endpoint_names


@dataclass(frozen=True, slots=True)
class DraftSecret:
    """A credential to be stored, and its text to be shown once."""

    client_id: str
    secret: ClientSecret
    digest: bytes
    text: Secret

    @property
    def row(self) -> tuple[str, ClientSecret, bytes]:
        """What the store takes."""
        return (self.client_id, self.secret, self.digest)

    @property
    def issued(self) -> IssuedSecret:
        """What the operator gets."""
        return IssuedSecret(
            client_id=self.client_id,
            secret_id=self.secret.secret_id,
            client_secret=self.text,
            expires_at=self.secret.expires_at,
        )


def new_secret(
    means: Means, client_id: str, now_ms: int, *, label: str | None = None, expires_in_seconds: int | None = None
) -> DraftSecret:
    """A fresh random credential for a client. It lives no longer than this deployment lets secrets live."""
    lifetime_seconds = secret_lifetime(means.place, expires_in_seconds)
    text = new_client_secret(means.place.environment)
    secret = ClientSecret(
        secret_id=new_id("sec_"),
        label=None if label is None else checked("label", as_label, label),
        legacy=False,
        created_at=now_ms,
        expires_at=None if lifetime_seconds is None else now_ms + lifetime_seconds * 1000,
        revoked_at=None,
        exposed_at=None,
    )
    return DraftSecret(client_id, secret, secret_digest(means.pepper, client_id, text.reveal()), text)


def secret_lifetime(place: Place, asked_seconds: int | None) -> int | None:
    """How long a new secret lives, in seconds; None = for ever. Raises ProvisioningError beyond the longest age."""
    longest = place.secret_max_age_seconds
    if longest is not None and asked_seconds is not None and asked_seconds > longest:
        raise ProvisioningError(
            "secret_lifetime_too_long",
            f"Secrets live at most {longest // 86_400} days here (OMNILAB_SECRET_MAX_AGE_DAYS);"
            " give a shorter --expires-in, or none.",
        )
    return longest if asked_seconds is None else asked_seconds


def legacy_secret(means: Means, client_id: str, text: Secret, *, now_ms: int, expires_at: int) -> DraftSecret:
    """A credential of an earlier system, with the text it has there."""
    kept = ruled(rules.legacy_secret, text.reveal())
    secret = ClientSecret(
        secret_id=new_id("sec_"),
        label="imported",
        legacy=True,
        created_at=now_ms,
        expires_at=expires_at,
        revoked_at=None,
        exposed_at=None,
    )
    return DraftSecret(client_id, secret, secret_digest(means.pepper, client_id, kept), text)


def as_label(text: str) -> str:
    """A secret's label."""
    return rules.display_name(text, what="label", longest=100)


def as_reason(text: str) -> str:
    """Why an operator does something."""
    return rules.display_name(text, what="reason", longest=500)


def as_partner(text: str) -> str:
    """A partner's name."""
    return rules.display_name(text, what="partner", longest=100)


@dataclass(frozen=True, slots=True)
class DraftClient:
    """What of a new client can be settled before its tenant is looked up."""

    client_id: str
    name: str
    allow: tuple[str, ...]
    partner: str | None
    technical_contact: str | None
    token_quota: str | None
    api_quota: str | None
    token_addresses: str | None
    api_addresses: str | None
    created_at: int

    def of(self, tenant: Tenant, audiences: list[Audience]) -> Client:
        """The client in its tenant."""
        return Client(
            tenant_id=tenant.tenant_id,
            tenant=tenant.tenant,
            client_id=self.client_id,
            name=self.name,
            status="active",
            audiences=tuple(each.audience for each in audiences),
            partner=self.partner,
            technical_contact=self.technical_contact,
            token_quota=self.token_quota,
            api_quota=self.api_quota,
            created_at=self.created_at,
            token_addresses=self.token_addresses,
            api_addresses=self.api_addresses,
        )


def draft_client(new: NewClient, now_ms: int, client_id: str | None = None) -> DraftClient:
    """Settle an order by the rules. `client_id` only where an earlier system gave one."""
    return DraftClient(
        client_id=client_id or new_id("cli_"),
        name=checked("name", rules.display_name, new.name),
        allow=endpoint_names(new.allow),
        partner=None if new.partner is None else checked("partner", as_partner, new.partner),
        technical_contact=mail(new.technical_contact),
        token_quota=None if new.token_quota is None else checked("quota", rules.quota, new.token_quota),
        api_quota=None if new.api_quota is None else checked("quota", rules.quota, new.api_quota),
        token_addresses=address_list(new.token_addresses) if new.token_addresses else None,
        api_addresses=address_list(new.api_addresses) if new.api_addresses else None,
        created_at=now_ms,
    )


def address_list(networks: tuple[str, ...]) -> str | None:
    """Networks as they are stored; None for any address."""
    return ruled(lambda text: network_list(text.split("\n")), "\n".join(networks))


def mail(text: str | None) -> str | None:
    """A technical contact, if any."""
    return None if text is None else checked("technical contact", rules.mail_address, text)


def changed_client(client: Client, change: ClientChange) -> Client:
    """The client after a change; its audiences are looked up by the caller."""
    if change.name is not None:
        client = replace(client, name=checked("name", rules.display_name, change.name))
    if change.technical_contact is not None:
        client = replace(client, technical_contact=mail(change.technical_contact))
    if change.token_quota is not None:
        client = replace(client, token_quota=checked("quota", rules.quota, change.token_quota))
    if change.api_quota is not None:
        client = replace(client, api_quota=checked("quota", rules.quota, change.api_quota))
    if change.token_addresses is not None:
        client = replace(client, token_addresses=address_list(change.token_addresses))
    if change.api_addresses is not None:
        client = replace(client, api_addresses=address_list(change.api_addresses))
    return client
