"""The objects that verbs answer with, in the contract's names. The only place where a new secret leaves."""

from __future__ import annotations

from dataclasses import dataclass

from omnilab.crypto.secret import Secret
from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.model.nouns import Audience, Client, ClientSecret, Tenant, secret_status
from omnilab.tenancy.model.place import Place

Document = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSecret:
    """A credential just made; its text exists here and nowhere else."""

    client_id: str
    secret_id: str
    client_secret: Secret
    expires_at: int | None = None

    def document(self) -> Document:
        """The contract's object of `secrets add`, with the secret in clear: show it once and forget it."""
        return {
            "client_id": self.client_id,
            "secret_id": self.secret_id,
            "client_secret": self.client_secret.reveal(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedClient:
    """A client just made, with its first secret."""

    client: Client
    audience: str
    issued: IssuedSecret
    place: Place

    def document(self) -> Document:
        """The contract's object of `clients create`, with the secret in clear: show it once and forget it."""
        return {
            "client_id": self.client.client_id,
            "client_secret": self.issued.client_secret.reveal(),
            "secret_id": self.issued.secret_id,
            "audience": self.audience,
            "base_url": self.place.base_url(self.client.tenant),
            "token_url": self.place.token_url(self.client.tenant),
            "issuer": self.place.issuer,
            "allowed": self.client.allowed,
        }


def tenant_document(tenant: Tenant, place: Place) -> Document:
    """A tenant."""
    return {
        "tenant_id": tenant.tenant_id,
        "tenant": tenant.tenant,
        "name": tenant.name,
        "status": tenant.status,
        "environment": place.environment,
        "base_url": place.base_url(tenant.tenant),
        "token_quota": tenant.token_quota,
        "api_quota": tenant.api_quota,
        "created_at": rfc3339(tenant.created_at),
    }


def audience_document(tenant: str, audience: Audience) -> Document:
    """An audience."""
    return {
        "tenant": tenant,
        "audience": audience.audience,
        "algorithm": audience.algorithm,
        "lifetime_seconds": audience.lifetime_seconds,
        "endpoints": sorted(audience.endpoints),
        "default": audience.is_default,
        "created_at": rfc3339(audience.created_at),
    }


def client_document(client: Client, place: Place) -> Document:
    """A client, without its secrets."""
    default = place.default_audience(client.tenant)
    return {
        "client_id": client.client_id,
        "tenant": client.tenant,
        "name": client.name,
        "status": client.status,
        "partner": client.partner,
        "technical_contact": client.technical_contact,
        "audience": default if default in client.audiences else next(iter(client.audiences), None),
        "audiences": list(client.audiences),
        "base_url": place.base_url(client.tenant),
        "token_url": place.token_url(client.tenant),
        "issuer": place.issuer,
        "allowed": client.allowed,
        "token_quota": client.token_quota,
        "api_quota": client.api_quota,
        "token_addresses": None if client.token_addresses is None else client.token_addresses.split(),
        "api_addresses": None if client.api_addresses is None else client.api_addresses.split(),
        "created_at": rfc3339(client.created_at),
    }


def secret_document(client: Client, secret: ClientSecret, now_ms: int, *, verdict: str | None = None) -> Document:
    """What is known of a credential; never its text. `verdict`: of `model/verdict.py`."""
    return {
        "secret_id": secret.secret_id,
        "client_id": client.client_id,
        "tenant": client.tenant,
        "label": secret.label,
        "status": secret_status(expires_at=secret.expires_at, revoked_at=secret.revoked_at, now_ms=now_ms),
        "legacy": secret.legacy,
        "created_at": rfc3339(secret.created_at),
        "expires_at": rfc3339(secret.expires_at),
        "revoked_at": rfc3339(secret.revoked_at),
        "exposed_at": rfc3339(secret.exposed_at),
        "last_used_at": rfc3339(secret.last_used_at),
        "last_address": secret.last_address,
        "use_count": secret.use_count,
        "verdict": verdict,
    }
