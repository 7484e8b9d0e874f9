"""A hand-off link: whoever opens it first, with its claim, has one secret made. Pure."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from omnilab.errors import ConflictError, Subject
from omnilab.tenancy.model.moments import rfc3339


@dataclass(frozen=True, slots=True)
class HandOff:
    """A link as it is stored. Of its claim only an HMAC; times are milliseconds since 1970 UTC."""

    tenant_id: str
    hand_off_id: str
    client_id: str
    claim_digest: bytes
    label: str | None
    secret_lifetime_seconds: int | None
    created_at: int
    expires_at: int
    opened_at: int | None = None
    secret_id: str | None = None


def decide_opening(found: HandOff | None, claim_digest: bytes, *, tenant: str, now_ms: int) -> HandOff:
    """The link, if it may be opened now. Raises ConflictError `not_found`.

    To whoever has not the claim an unknown link and a known one are the same; its holder is told what became of it.
    """
    if found is None or not hmac.compare_digest(found.claim_digest, claim_digest):
        raise ConflictError(
            "not_found",
            "There is no such link. Open it whole, as it was sent, the part after # included, or ask for a new one.",
            reason="hand_off_unknown",
            check="link",
            expected="a link with its claim",
            found="an unknown link or another claim",
        )
    subject = Subject(found.tenant_id, tenant, found.client_id, found.secret_id)
    if found.opened_at is not None:
        opened = rfc3339(found.opened_at)
        raise ConflictError(
            "not_found",
            f"This link was opened at {opened}, and it works once. If the secret did not reach you, ask for a new link,"
            " and have the one that was made revoked.",
            reason="hand_off_opened",
            check="link",
            expected="a link that was not opened",
            found=f"{found.hand_off_id}, opened at {opened}",
            subject=subject,
        )
    if found.expires_at <= now_ms:
        raise ConflictError(
            "not_found",
            f"This link ended at {rfc3339(found.expires_at)}. No secret was made; ask for a new link.",
            reason="hand_off_expired",
            check="link",
            expected="a link that has not ended",
            found=f"{found.hand_off_id}, ended at {rfc3339(found.expires_at)}",
            subject=subject,
        )
    return found
