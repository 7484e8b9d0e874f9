"""The life of a signing key, as pure rules."""

from __future__ import annotations

import pytest

from omnilab.crypto.signing import ALGORITHMS
from omnilab.errors import ProvisioningError
from omnilab.tenancy.model import rules
from omnilab.tenancy.model.place import TOKEN_PATH as PLACES_TOKEN_PATH
from omnilab.tokens.model.keys import (
    JWKS_MAX_AGE_SECONDS,
    LONGEST_TOKEN_SECONDS,
    SigningKey,
    decide_rotation,
    gone_at,
    is_published,
    jwks,
    missing_keys,
)
from omnilab.tokens.routes.documents import TOKEN_PATH

NOW_MS = 1_800_000_000_000


def key(status: str, algorithm: str = "ES256", *, created_at: int = 0, retired_at: int | None = None) -> SigningKey:
    return SigningKey(
        key_id=f"key_{algorithm}_{status}",
        algorithm=algorithm,
        status=status,
        public_jwk=f'{{"kid":"key_{algorithm}_{status}"}}',
        created_at=created_at,
        retired_at=retired_at,
    )


def full(*, next_created_at: int) -> list[SigningKey]:
    return [
        key(status, algorithm, created_at=next_created_at if status == "next" else 0)
        for algorithm in ALGORITHMS
        for status in ("current", "next")
    ]


def test_what_other_houses_say_is_the_same() -> None:
    assert LONGEST_TOKEN_SECONDS == rules.MAX_LIFETIME_SECONDS
    assert TOKEN_PATH == PLACES_TOKEN_PATH


def test_next_current_and_retired_are_published_and_revoked_is_not() -> None:
    keys = [key("next"), key("current"), key("retired", retired_at=NOW_MS), key("revoked")]
    assert [each["kid"] for each in jwks(keys, NOW_MS)] == ["key_ES256_next", "key_ES256_current", "key_ES256_retired"]


def test_a_retired_key_stays_until_its_last_token_has_expired() -> None:
    retired = key("retired", retired_at=NOW_MS)
    assert gone_at(retired) >= NOW_MS + LONGEST_TOKEN_SECONDS * 1000
    assert is_published(retired, gone_at(retired) - 1)
    assert not is_published(retired, gone_at(retired))


def test_rotation_waits_until_every_verifier_knows_the_next_key() -> None:
    keys = full(next_created_at=NOW_MS)
    with pytest.raises(ProvisioningError) as caught:
        decide_rotation(keys, now_ms=NOW_MS + 1, at_once=False)
    assert caught.value.code == "rotation_too_early"
    assert caught.value.retry_after_seconds == JWKS_MAX_AGE_SECONDS
    assert "Wait 300 seconds" in caught.value.detail
    decide_rotation(keys, now_ms=NOW_MS + 1, at_once=True)
    decide_rotation(keys, now_ms=NOW_MS + JWKS_MAX_AGE_SECONDS * 1000, at_once=False)


def test_an_installation_needs_two_keys_for_each_algorithm() -> None:
    assert missing_keys(full(next_created_at=0)) == []
    assert missing_keys([key("current")]) == [
        ("ES256", "next"),
        ("RS256", "current"),
        ("RS256", "next"),
        ("EdDSA", "current"),
        ("EdDSA", "next"),
    ]
    with pytest.raises(ProvisioningError, match="omnilab init"):
        decide_rotation([key("current")], now_ms=NOW_MS, at_once=True)
