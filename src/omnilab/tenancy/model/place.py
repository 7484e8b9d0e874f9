"""Where a deployment stands and what follows from it: URLs and default audiences of its tenants."""

from __future__ import annotations

from dataclasses import dataclass

from omnilab.tenancy.model.rules import TENANT_KEY

TOKEN_PATH = "/v1/oauth:token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One deployment = one environment = one issuer."""

    environment: str  # development | staging | production
    issuer: str  # OMNILAB_PUBLIC_URL without trailing slash
    tenant_domain: str | None = None
    secret_max_age_seconds: int | None = None
    """No secret is made that lives longer; None = secrets need no expiry."""
    hand_off_seconds: int = 72 * 3600
    """How long a hand-off link can be opened."""

    @property
    def development(self) -> bool:
        """Whether conveniences for a developer's own machine apply."""
        return self.environment == "development"

    def base_url(self, tenant: str) -> str:
        """Where the tenant's callers call, without `/v1`."""
        return f"https://{tenant}.api.{self.tenant_domain}" if self.tenant_domain else self.issuer

    def token_url(self, tenant: str) -> str:
        """Where the tenant's clients get their tokens."""
        return self.base_url(tenant) + TOKEN_PATH

    def default_audience(self, tenant: str) -> str:
        """The Booking API's audience for this tenant."""
        if self.tenant_domain:
            return f"https://{tenant}.api.{self.tenant_domain}"
        return f"urn:omnilab:{self.environment}:{tenant}"

    def owner_of_audience(self, uri: str) -> str | None:
        """The tenant key whose default audience this URI is or would be, whether that tenant exists or not."""
        head, tail = self.default_audience("*").split("*")
        bare = uri.rstrip("/").lower()
        key = bare[len(head) : len(bare) - len(tail)]
        return key if bare == head + key + tail and TENANT_KEY.fullmatch(key) else None
