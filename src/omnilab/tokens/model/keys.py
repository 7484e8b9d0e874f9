"""Signing keys as nouns, and the rules of their life: next → current → retired → gone. Pure.

Every key is public before it signs (`next`) and after it has stopped (`retired`), so a verifier that holds the JWKS
for as long as it may (`max-age`) never meets a token it cannot verify.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from omnilab.crypto.signing import ALGORITHMS
from omnilab.errors import ProvisioningError

#: What a private key is sealed as under the master key (`crypto.sealing`).
SEAL_KIND = "signing_key"
JWKS_MAX_AGE_SECONDS = 300
# How long the next keys are public before the service, unasked, signs with them.
PUBLISHED_BEFORE_USE_SECONDS = 86_400
# No audience may ask for longer (`tenancy/model/rules.py`; a test holds the two equal).
LONGEST_TOKEN_SECONDS = 86_400
# Other processes sign with a retired key until the change feed tells them, and verifiers allow for skewed clocks.
_SLACK_SECONDS = 60


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key without its private half. Times are milliseconds since 1970 UTC.

    status: `next` (published, not yet used) | `current` (signs) | `retired` (verifies only) | `revoked`.
    """

    key_id: str
    algorithm: str
    status: str
    public_jwk: str
    created_at: int
    activated_at: int | None = None
    retired_at: int | None = None


def is_published(key: SigningKey, now_ms: int) -> bool:
    """Whether a verifier may still need it: a retired key until its last token has expired."""
    if key.status in ("next", "current"):
        return True
    return key.status == "retired" and now_ms < gone_at(key)


def gone_at(key: SigningKey) -> int:
    """When the last token signed with a retired key has expired, in milliseconds since 1970 UTC."""
    return (key.retired_at or key.created_at) + (LONGEST_TOKEN_SECONDS + _SLACK_SECONDS) * 1000


def jwks(keys: Iterable[SigningKey], now_ms: int) -> list[dict[str, Any]]:
    """The public keys (RFC 7517 §5) a verifier needs now, in the order given."""
    return [msgspec.json.decode(key.public_jwk) for key in keys if is_published(key, now_ms)]


def rotation_is_due(keys: Iterable[SigningKey], *, now_ms: int, every_days: int) -> bool:
    """Whether the service itself should move on: the current keys are old enough, the next ones published long enough.

    For a day the next keys must have been seen by every verifier that reads the JWKS once a day.
    """
    known = list(keys)
    activated = [key.activated_at or key.created_at for key in known if key.status == "current"]
    published = [key.created_at for key in known if key.status == "next"]
    if not activated or missing_keys(known):
        return False
    old_enough = min(activated) + every_days * 86_400_000 <= now_ms
    return old_enough and max(published) + PUBLISHED_BEFORE_USE_SECONDS * 1000 <= now_ms


def missing_keys(keys: Iterable[SigningKey]) -> list[tuple[str, str]]:
    """The (algorithm, status) pairs that an installation must have and has not."""
    there = {(key.algorithm, key.status) for key in keys}
    wanted = [(algorithm, status) for algorithm in ALGORITHMS for status in ("current", "next")]
    return [pair for pair in wanted if pair not in there]


def decide_rotation(keys: Sequence[SigningKey], *, now_ms: int, at_once: bool) -> None:
    """Whether every `next` key may sign now.

    Raises ProvisioningError `keys_missing`, or `rotation_too_early` with the seconds to wait: a verifier that read the
    JWKS just before the next key was in it may hold that copy for `max-age`. `at_once` overrides the latter.
    """
    if missing_keys(keys):
        raise ProvisioningError("keys_missing", "There are no signing keys to rotate: run omnilab init.")
    youngest = max(key.created_at for key in keys if key.status == "next")
    wait_ms = youngest + JWKS_MAX_AGE_SECONDS * 1000 - now_ms
    if wait_ms > 0 and not at_once:
        seconds = -(-wait_ms // 1000)
        raise ProvisioningError(
            "rotation_too_early",
            f"The next keys are younger than the {JWKS_MAX_AGE_SECONDS} seconds for which verifiers may hold the JWKS. "
            f"Wait {seconds} seconds, or add --now and accept that some verifiers refuse new tokens until then.",
            retry_after_seconds=seconds,
        )
