"""Secrets that will expire: when to warn, and what to write to whom. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from omnilab.tenancy.model.moments import rfc3339

DAY_MS = 86_400_000
WARNING_DAYS = (30, 7, 1)
# From then on token answers say when their secret expires.
TOLD_BEFORE_MS = WARNING_DAYS[0] * DAY_MS


@dataclass(frozen=True, slots=True)
class ExpiringSecret:
    """A live secret with its expiry (ms since 1970 UTC), and whom to tell. `successor`: a newer live one is there."""

    tenant_id: str
    tenant: str
    client_id: str
    client_name: str
    technical_contact: str | None
    secret_id: str
    label: str | None
    expires_at: int
    warned_days: int | None
    last_used_at: int | None
    successor: bool

    def days_left(self, now_ms: int) -> int:
        """Whole days until it expires, rounded up."""
        return -(-(self.expires_at - now_ms) // DAY_MS)


def warning_due(expires_at: int, warned_days: int | None, now_ms: int) -> int | None:
    """Which warning to give now: 30, 7 or 1 days before; None when it was given, or none is due.

    Of several that fell due together (a secret made for three days, a service that was down) only the last is given.
    """
    left_ms = expires_at - now_ms
    due = min((days for days in WARNING_DAYS if 0 < left_ms <= days * DAY_MS), default=None)
    return due if due is not None and (warned_days is None or due < warned_days) else None


def expiry_mail(secret: ExpiringSecret, environment: str) -> str:
    """What to write to the technical contact."""
    named = secret.secret_id + (f" (label {secret.label})" if secret.label else "")
    next_step = (
        "A newer secret is there already: please move every process to it."
        if secret.successor
        else "Please tell us who is to have the new one; we send a link that shows it once."
    )
    return (
        f"Subject: OmniLab {environment}: the client secret of {secret.client_name} expires"
        f" at {rfc3339(secret.expires_at)}\n\n"
        f"The secret {named} of your client {secret.client_id} ({secret.client_name}, tenant {secret.tenant},"
        f" {environment}) expires at {rfc3339(secret.expires_at)}. From then on it gets no tokens; tokens issued before"
        f" live on until they end.\n\n{next_step} Old and new secret work side by side, so nothing has to stand still:"
        " bring in the new one, restart or reload, and tell us when the old one is out of use.\n\n"
        "Never send us the secret itself."
    )


def compromised_mail(*, client: str, client_id: str, secret_id: str, revoked_at: int, environment: str) -> str:
    """What to write to the technical contact of a client whose secret leaked."""
    return (
        f"Subject: OmniLab {environment}: a client secret of {client} was revoked\n\n"
        f"The secret {secret_id} of your client {client_id} ({client}, {environment}) must be taken for known to"
        f" others. We revoked it at {rfc3339(revoked_at)}; it gets no tokens any more, and every token issued on it is"
        " refused.\n\nYou get a link by another way, which shows a new secret once. Bring it in on your server,"
        " restart or reload, and take the old one out wherever it is: configuration, build logs, repositories and"
        " their history.\n\nPlease tell us where it may have been seen, and compare the addresses and calls that we"
        " list with your own. Never send us a secret or a token."
    )
