"""Whether a secret can be taken away without anybody noticing. Pure.

Three words: *in use* while a token issued on it may still live, *quiet since …* after that, and *safe to remove* only
once all of this holds: another live secret is newer; it was not used for the whole overlap; and every address that
used it in its last 24 hours of use has used a newer secret since, or none of the two for seven days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from omnilab.tenancy.model.moments import rfc3339
from omnilab.tenancy.model.nouns import ClientSecret, secret_status

IN_USE, SAFE = "in use", "safe to remove"
DEFAULT_OVERLAP_SECONDS = 7 * 86_400
# No audience may ask for a longer life (`rules.MAX_LIFETIME_SECONDS`), and verifiers allow for skewed clocks.
TOKENS_LIVE_MS = (86_400 + 60) * 1000
LAST_USE_MS = 86_400 * 1000
SILENT_MS = 7 * 86_400 * 1000
# A secret used from more addresses at once is judged by its silence alone: not all of them are known.
KEPT_ADDRESSES = 1000

Addresses = Mapping[str, int]
"""address → when it last used the secret, in ms"""


@dataclass(frozen=True, slots=True)
class Used:
    """A secret and from where it was used."""

    secret: ClientSecret
    addresses: Addresses = field(default_factory=dict)

    @property
    def last_ms(self) -> int | None:
        """Its last use by either count: the two are written together, but one is pruned."""
        return max((self.secret.last_used_at or 0, *self.addresses.values())) or None


def verdict_of(secret_id: str, all_of_client: Sequence[Used], now_ms: int) -> str | None:
    """The verdict on one of a client's secrets; None where it is not live, for then there is nothing to decide."""
    used = next(each for each in all_of_client if each.secret.secret_id == secret_id)
    if not _live(used.secret, now_ms):
        return None
    last_ms = used.last_ms
    if last_ms is not None and now_ms < last_ms + TOKENS_LIVE_MS:
        return IN_USE
    newer = [each for each in all_of_client if each.secret.created_at > used.secret.created_at]
    quiet_ms = used.secret.created_at if last_ms is None else last_ms
    if (
        any(_live(each.secret, now_ms) for each in newer)
        and now_ms >= quiet_ms + overlap_ms(used.secret)
        and _all_moved(used, newer, now_ms)
    ):
        return SAFE
    return f"quiet since {rfc3339(quiet_ms)}"


def overlap_ms(secret: ClientSecret) -> int:
    """How long the secret must be unused before it may go."""
    return 1000 * (DEFAULT_OVERLAP_SECONDS if secret.overlap_seconds is None else secret.overlap_seconds)


def _live(secret: ClientSecret, now_ms: int) -> bool:
    return secret_status(expires_at=secret.expires_at, revoked_at=secret.revoked_at, now_ms=now_ms) == "live"


def _all_moved(used: Used, newer: Sequence[Used], now_ms: int) -> bool:
    """Whether every address of the secret's last 24 hours of use has used a newer one since, or is silent."""
    last_ms = used.last_ms
    if last_ms is None:
        return True
    late = {address: at_ms for address, at_ms in used.addresses.items() if at_ms > last_ms - LAST_USE_MS}
    if not late or len(late) >= KEPT_ADDRESSES:
        return now_ms >= last_ms + SILENT_MS
    return all(
        now_ms >= at_ms + SILENT_MS or any(each.addresses.get(address, -1) >= at_ms for each in newer)
        for address, at_ms in late.items()
    )
