"""What a guard accepts, and that live standings are asked at every call, cached signature or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from omnilab.crypto.signer import Signer
from omnilab.crypto.signing import generate_private_key, public_jwk
from omnilab.guard import Caller, Guard, InsufficientScopeError, InvalidTokenError, KeysUnavailableError
from omnilab.guard.cache import TokenCache
from omnilab.guard.clock import wall_seconds
from omnilab.guard.keys import GivenKeys
from tests.guard.minting import (
    AUDIENCE,
    EDDSA,
    ES256,
    ISSUER,
    JWKS,
    NOW,
    RS256,
    STRANGER,
    Mint,
    ec_jwk,
    right_claims,
    token,
)
from tests.guard.standing import FakeClient, FakeStandings, FakeTenant


def make_guard(**changes: Any) -> Guard:
    given: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": JWKS, "now": lambda: float(NOW)}
    return Guard(**given | changes)


def verify(guard: Guard, text: str, **given: Any) -> Caller:
    return asyncio.run(guard.verify(text, **given))


def refusal(guard: Guard, text: str, **given: Any) -> InvalidTokenError:
    with pytest.raises(InvalidTokenError) as caught:
        verify(guard, text, **given)
    return caught.value


@pytest.mark.parametrize(
    ("algorithm", "key", "key_id"), [("ES256", ES256, "key_es"), ("RS256", RS256, "key_rs"), ("EdDSA", EDDSA, "key_ed")]
)
def test_each_algorithm_is_verified(algorithm: str, key: object, key_id: str) -> None:
    caller = verify(make_guard(), Mint(key=key, header={"alg": algorithm, "kid": key_id}).token())
    assert caller == Caller(
        client_id="cli_one",
        tenant="acme",
        tenant_id=None,
        audience=AUDIENCE,
        scope=frozenset({"bookings:read", "bookings:cancel"}),
        credential_id="sec_one",
        token_id="0190a5c8-0000-7000-8000-000000000000",
        issued_at=NOW - 10,
        expires_at=NOW + 3590,
    )


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_a_token_of_our_own_signer_is_accepted(algorithm: str) -> None:
    key = generate_private_key(algorithm)
    guard = make_guard(jwks={"keys": [public_jwk(key, "key_1", algorithm)]})
    text = Signer("key_1", algorithm, key).compact(json.dumps(right_claims()).encode())
    assert verify(guard, text).client_id == "cli_one"


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt"])
def test_both_spellings_of_the_type(typ: str) -> None:
    assert verify(make_guard(), Mint(header={"typ": typ}).token()).tenant == "acme"


@pytest.mark.parametrize(
    ("aud", "audience"),
    [
        (AUDIENCE, AUDIENCE),
        ([AUDIENCE], AUDIENCE),
        (["https://other.example.com", AUDIENCE], AUDIENCE),
        (AUDIENCE, ["https://other.example.com", AUDIENCE]),
    ],
)
def test_audience_as_a_text_or_a_list(aud: object, audience: object) -> None:
    assert verify(make_guard(audience=audience), token(aud=aud)).audience == AUDIENCE


def test_another_audience_is_refused_with_both_named() -> None:
    error = refusal(make_guard(), token(aud="https://other.example.com"))
    assert (error.code, error.check) == ("audience_mismatch", "token_audience")
    assert AUDIENCE in error.expected
    assert error.found == "https://other.example.com"
    assert error.client_id == "cli_one"  # the signature held, so the record may name it


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": NOW - 4}, None),
        ({"exp": NOW - 5}, "token_expired"),
        ({"nbf": NOW + 5}, None),
        ({"nbf": NOW + 6}, "token_malformed"),
        ({"iat": NOW + 5}, None),
        ({"iat": NOW + 6}, "token_malformed"),
        ({"exp": NOW + 0.5, "iat": NOW - 0.5}, None),
    ],
)
def test_five_seconds_of_leeway(claims: dict[str, object], code: str | None) -> None:
    if code is None:
        verify(make_guard(), token(**claims))
        return
    error = refusal(make_guard(), token(**claims))
    assert (error.code, error.check) == (code, "token_time")


def test_a_cached_token_expires_too() -> None:
    now = [float(NOW)]
    guard, text = make_guard(now=lambda: now[0]), token(exp=NOW + 60)
    verify(guard, text)
    now[0] = NOW + 64.9
    verify(guard, text)
    now[0] = NOW + 65
    first, second = refusal(guard, text), refusal(guard, text)
    assert first.code == second.code == "token_expired"
    assert (first.client_id, first.credential_id) == ("cli_one", "sec_one")
    assert "65" in refusal(make_guard(now=lambda: NOW + 3590 + 65.0), token()).found


def test_other_issuer() -> None:
    error = refusal(make_guard(), token(iss=ISSUER + "/"))
    assert (error.code, error.check) == ("token_malformed", "token_issuer")


def test_tenant_against_host() -> None:
    guard = make_guard()
    assert verify(guard, token(), tenant="acme").tenant == "acme"
    error = refusal(guard, token(), tenant="globex")
    assert (error.code, error.check, error.client_id) == ("tenant_mismatch", "tenant_host", "cli_one")


def test_an_empty_scope_is_a_token_without_rights() -> None:
    caller = verify(make_guard(), token(scope=""))
    assert caller.scope == frozenset()
    with pytest.raises(InsufficientScopeError) as caught:
        caller.require("bookings:read")
    assert caught.value.code == "endpoint_not_enabled"


def disable(client: FakeClient) -> None:
    client.active = False


def suspend(client: FakeClient) -> None:
    client.tenant.active = False


def revoke(client: FakeClient) -> None:
    client.live.clear()


def move(client: FakeClient) -> None:
    client.tenant = FakeTenant(tenant="globex")


@pytest.mark.parametrize(
    ("change", "code", "check"),
    [
        (disable, "client_disabled", "client_status"),
        (suspend, "tenant_suspended", "tenant_status"),
        (revoke, "token_revoked", "token_revocation"),
        (move, "tenant_mismatch", "tenant_host"),
    ],
)
def test_what_was_verified_before_is_refused_at_once(
    change: Callable[[FakeClient], None], code: str, check: str
) -> None:
    client = FakeClient()
    guard, text = make_guard(standings=FakeStandings(client)), token()
    assert verify(guard, text).tenant_id == "ten_acme"
    change(client)
    error = refusal(guard, text)
    assert (error.code, error.check, error.client_id) == (code, check, "cli_one")


def test_a_client_that_is_gone() -> None:
    standings = FakeStandings(FakeClient())
    guard, text = make_guard(standings=standings), token()
    verify(guard, text)
    standings.clients.clear()
    assert refusal(guard, text).code == "token_revoked"


def test_a_credential_of_which_memory_has_not_heard_is_asked_for_before_it_is_refused() -> None:
    """With several workers one issues the token and another is called with it a moment later."""
    standings = FakeStandings(FakeClient(live=set()))
    standings.unheard["cli_one"] = FakeClient()
    assert verify(make_guard(standings=standings), token()).standing is standings.unheard["cli_one"]
    standings = FakeStandings(FakeClient(live=set()))
    standings.unheard["cli_one"] = FakeClient(live=set(), active=False)
    assert refusal(make_guard(standings=standings), token()).code == "client_disabled"


def test_grants_are_live_for_a_cached_token() -> None:
    standings = FakeStandings(FakeClient())
    guard, text = make_guard(standings=standings), token(scope="bookings:read")
    caller = verify(guard, text)
    assert caller.may("bookings:read")
    assert caller is verify(guard, text)  # the same standing: nothing is built anew
    with pytest.raises(InsufficientScopeError) as caught:
        caller.require("bookings:cancel")
    assert caught.value.code == "token_predates_grant"
    standings.clients["cli_one"] = FakeClient(allowed=frozenset())
    with pytest.raises(InsufficientScopeError) as caught:
        verify(guard, text).require("bookings:read")
    assert caught.value.code == "endpoint_not_enabled"


def test_without_a_given_audience_the_standing_knows_them() -> None:
    client = FakeClient()
    guard = make_guard(audience=None, standings=FakeStandings(client))
    assert verify(guard, token(aud=["https://elsewhere.example.com", AUDIENCE])).audience == AUDIENCE
    assert refusal(guard, token(aud="https://elsewhere.example.com")).code == "audience_mismatch"
    text = token()
    verify(guard, text)
    client.audiences.clear()
    assert refusal(guard, text).code == "audience_mismatch"


def test_what_the_standings_raise_passes_through() -> None:
    standings = FakeStandings(FakeClient())
    guard, text = make_guard(standings=standings), token()
    verify(guard, text)
    standings.error = RuntimeError("the database is away")
    with pytest.raises(RuntimeError):
        verify(guard, text)


def test_a_key_that_is_withdrawn_takes_its_cached_tokens_with_it() -> None:
    current: list[dict[str, Any]] = [{"keys": [ec_jwk(ES256)]}]
    guard, text = make_guard(jwks=lambda: current[0]), token()
    verify(guard, text)
    current[0] = {"keys": [ec_jwk(ES256), ec_jwk(STRANGER, "key_next")]}
    assert verify(guard, text).client_id == "cli_one"
    assert verify(guard, Mint(key=STRANGER, header={"kid": "key_next"}).token()).client_id == "cli_one"
    current[0] = {"keys": [ec_jwk(STRANGER, "key_next")]}
    error = refusal(guard, text)
    assert (error.code, error.check) == ("token_malformed", "token_signature")


def test_a_key_replaced_under_the_same_id() -> None:
    current: list[dict[str, Any]] = [{"keys": [ec_jwk(ES256)]}]
    guard, text = make_guard(jwks=lambda: current[0]), token()
    verify(guard, text)
    current[0] = {"keys": [ec_jwk(STRANGER)]}
    assert refusal(guard, text).check == "token_signature"


def test_an_unusable_new_set_leaves_the_old_keys_in_force() -> None:
    current: list[dict[str, Any]] = [{"keys": []}]
    guard, text = make_guard(jwks=lambda: current[0]), token()
    with pytest.raises(KeysUnavailableError):
        verify(guard, text)
    current[0] = JWKS
    verify(guard, text)
    current[0] = {"keys": []}
    verify(guard, text)


def test_the_cache_is_bounded_and_drops_the_oldest() -> None:
    guard = make_guard(cache_size=10)
    texts = [token(jti=f"jti-{number}") for number in range(30)]
    for text in texts:
        verify(guard, text)
    assert len(guard._cache) == 10
    assert guard._cache.get(texts[0]) is None
    assert guard._cache.get(texts[-1]) is not None
    assert verify(make_guard(cache_size=0), texts[0]).client_id == "cli_one"


def test_refused_tokens_are_never_kept() -> None:
    guard = make_guard()
    for text in (token(aud="https://other.example.com"), token(exp=NOW - 100), Mint(key=STRANGER).token()):
        refusal(guard, text)
    assert len(guard._cache) == 0


def test_a_hit_asks_nothing_but_the_cache_and_the_standing() -> None:
    class CountingKeys:
        asked = 0

        def poll(self) -> None:
            return

        async def find(self, key_id: str) -> Any:
            self.asked += 1
            return await GivenKeys(JWKS).find(key_id)

    keys = CountingKeys()
    guard, text = make_guard(jwks=keys), token()
    for _ in range(5):
        verify(guard, text)
    assert keys.asked == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""},
        {"audience": None},
        {"audience": ""},
        {"audience": []},
        {"jwks": None},
        {"jwks_url": "https://id.example.com/jwks.json"},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": "none"}},
        {"jwks": None, "jwks_url": "http://id.example.com/jwks.json"},
        {"jwks": None, "jwks_url": "http://10.0.0.1/jwks.json"},
        {"jwks": None, "jwks_url": "ftp://localhost/jwks.json"},
    ],
)
def test_what_makes_no_guard_is_told_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"issuer|audience|jwks|JWK"):
        make_guard(**wrong)


@pytest.mark.parametrize(
    "url", ["https://id.example.com/j", "http://localhost:8080/j", "http://127.0.0.1/j", "http://[::1]/j"]
)
def test_urls_that_nobody_can_change_on_the_way(url: str) -> None:
    make_guard(jwks=None, jwks_url=url)


def test_no_token_in_a_repr() -> None:
    guard, text = make_guard(), token()
    caller = verify(guard, text)
    assert text[-20:] not in repr(caller) + repr(guard) + repr(guard._cache) + repr(guard._cache.get(text))


def test_the_island_has_a_clock_of_its_own() -> None:
    assert wall_seconds() > NOW - 10**9
    assert len(TokenCache(1)) == 0
