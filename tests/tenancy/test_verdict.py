"""When a secret is safe to remove: only when nobody would notice."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from omnilab.tenancy.model import rules
from omnilab.tenancy.model.nouns import ClientSecret
from omnilab.tenancy.model.verdict import (
    IN_USE,
    KEPT_ADDRESSES,
    LAST_USE_MS,
    SAFE,
    SILENT_MS,
    TOKENS_LIVE_MS,
    Used,
    overlap_ms,
    verdict_of,
)

DAY = 86_400_000
NOW = 1_900_000_000_000
HOME, OFFICE = "192.0.2.1", "192.0.2.2"


def secret(name: str, created_days_ago: float, *, overlap_days: float = 1, **given: int | None) -> ClientSecret:
    made = ClientSecret(name, None, False, NOW - int(created_days_ago * DAY), None, None, None)
    return replace(made, overlap_seconds=int(overlap_days * 86_400), **given)  # type: ignore[arg-type]


def used(one: ClientSecret, **days_ago: float) -> Used:
    """A secret that these addresses used last so many days ago."""
    at = {{"home": HOME, "office": OFFICE}[name]: NOW - int(days * DAY) for name, days in days_ago.items()}
    return Used(replace(one, last_used_at=max(at.values(), default=None)), at)


def verdict(old: Used, *others: Used) -> str | None:
    return verdict_of(old.secret.secret_id, [old, *others], NOW)


NEW = secret("sec_new", 5)


def test_no_token_outlives_what_in_use_means() -> None:
    assert TOKENS_LIVE_MS > rules.MAX_LIFETIME_SECONDS * 1000


def test_in_use_while_a_token_issued_on_it_may_live() -> None:
    old = secret("sec_old", 50, overlap_days=0)
    assert verdict(used(old, home=0.5), used(NEW, home=0.1)) == IN_USE
    assert verdict(used(old, home=1.001), used(NEW, home=0.1)) == SAFE


def test_quiet_until_the_overlap_has_passed() -> None:
    old = secret("sec_old", 50, overlap_days=3)
    assert verdict(used(old, home=2.9), used(NEW, home=0.1)) == "quiet since 2030-03-14T20:10:40Z"
    assert verdict(used(old, home=3), used(NEW, home=0.1)) == SAFE


def test_an_address_that_has_not_moved_is_waited_for_seven_days() -> None:
    old = secret("sec_old", 50)
    assert str(verdict(used(old, home=4, office=4.5), used(NEW, home=0.1))).startswith("quiet since")
    assert verdict(used(old, home=4, office=4.5), used(NEW, home=0.1, office=3)) == SAFE
    assert verdict(used(old, home=7, office=7), used(NEW, home=0.1)) == SAFE
    # An address that left the old secret long before its last day of use is nobody to wait for.
    assert verdict(used(old, home=2, office=3.5), used(NEW, home=0.1)) == SAFE


def test_a_newer_secret_used_before_the_old_one_last_was_is_no_move() -> None:
    old = secret("sec_old", 50)
    assert str(verdict(used(old, home=2), used(NEW, home=3))).startswith("quiet since")


def test_the_only_or_the_newest_live_secret_is_never_safe() -> None:
    alone = used(secret("sec_old", 400), home=300)
    assert str(verdict(alone)).startswith("quiet since")
    assert str(verdict(alone, used(secret("sec_older", 500), home=0.1))).startswith("quiet since")
    assert str(verdict(alone, used(replace(NEW, revoked_at=NOW - 1)))).startswith("quiet since")
    assert str(verdict(alone, used(replace(NEW, expires_at=NOW)))).startswith("quiet since")
    assert verdict(alone, used(NEW)) == SAFE


def test_a_secret_that_was_never_used_goes_after_the_overlap() -> None:
    assert verdict(used(secret("sec_old", 8, overlap_days=7)), used(NEW)) == SAFE
    assert str(verdict(used(secret("sec_old", 6, overlap_days=7)), used(NEW))).startswith("quiet since")


def test_a_dead_secret_has_no_verdict() -> None:
    assert verdict(used(secret("sec_old", 50, revoked_at=NOW - 5)), used(NEW)) is None
    assert verdict(used(secret("sec_old", 50, expires_at=NOW)), used(NEW)) is None


def test_with_more_addresses_than_are_kept_only_silence_counts() -> None:
    addresses = {f"198.51.{number // 250}.{number % 250}": NOW - 2 * DAY for number in range(KEPT_ADDRESSES)}
    old = Used(replace(secret("sec_old", 50), last_used_at=NOW - 2 * DAY), addresses)
    moved = Used(NEW, dict.fromkeys(addresses, NOW - DAY))
    assert str(verdict_of("sec_old", [old, moved], NOW)).startswith("quiet since")
    assert verdict_of("sec_old", [old, moved], NOW + 5 * DAY) == SAFE


moments = st.integers(0, 30 * DAY).map(lambda ago: NOW - ago)
uses = st.dictionaries(st.sampled_from([HOME, OFFICE, "192.0.2.3"]), moments, max_size=3)


@given(old_uses=uses, new_uses=uses, overlap_days=st.integers(0, 10), alive=st.booleans())
def test_safe_only_when_each_of_the_three_conditions_holds(
    old_uses: dict[str, int], new_uses: dict[str, int], overlap_days: int, alive: bool
) -> None:
    old = Used(replace(secret("sec_old", 60, overlap_days=overlap_days)), old_uses)
    new = Used(replace(secret("sec_new", 40), revoked_at=None if alive else NOW - 1), new_uses)
    said = verdict_of("sec_old", [old, new], NOW)
    last = max(old_uses.values(), default=None)
    late = {} if last is None else {name: at for name, at in old_uses.items() if at > last - LAST_USE_MS}
    token_may_live = last is not None and NOW - last < TOKENS_LIVE_MS
    unmoved = [name for name, at in late.items() if NOW - at < SILENT_MS and new_uses.get(name, 0) < at]
    if said == SAFE:
        assert alive
        assert not token_may_live
        assert not unmoved
        assert last is None or NOW - last >= overlap_ms(old.secret)
    else:
        quiet_long_enough = last is None or NOW - last >= overlap_ms(old.secret)
        assert (said == IN_USE) == token_may_live
        assert token_may_live or unmoved or not alive or not quiet_long_enough
