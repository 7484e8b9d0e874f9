"""Fetching keys: once for all, seldom, never at a stranger's wish, and old ones rather than none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from omnilab.guard import Guard, InvalidTokenError, KeysUnavailableError
from omnilab.guard.clock import monotonic_seconds
from omnilab.guard.fetched_keys import MAX_UNKNOWN, STALE_SECONDS, FetchedKeys, fetch_jwks
from tests.guard.jwks_server import jwks_server
from tests.guard.minting import AUDIENCE, ES256, ISSUER, JWKS, NOW, STRANGER, Mint, ec_jwk, token

URL = "https://id.example.com/.well-known/jwks.json"


@dataclass
class Issuer:
    """A fake network: counts fetches, answers what it is told to, at a clock that the test moves."""

    jwks: Any = field(default_factory=lambda: JWKS)
    error: Exception | None = None
    fetches: int = 0
    now: float = 1000.0

    async def fetch(self, url: str) -> Any:
        assert url == URL
        self.fetches += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.jwks

    def keys(self) -> FetchedKeys:
        return FetchedKeys(URL, fetch=self.fetch, monotonic=lambda: self.now)

    def guard(self, keys: FetchedKeys) -> Guard:
        return Guard(issuer=ISSUER, audience=AUDIENCE, jwks=keys, now=lambda: float(NOW))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def next_token() -> str:
    return Mint(key=STRANGER, header={"kid": "key_next"}).token()


def test_many_first_callers_share_one_fetch() -> None:
    issuer = Issuer()

    async def test() -> None:
        guard = issuer.guard(issuer.keys())
        callers = await asyncio.gather(*(guard.verify(token(jti=f"jti-{n}")) for n in range(50)))
        assert {caller.client_id for caller in callers} == {"cli_one"}
        assert issuer.fetches == 1

    run(test)


def test_a_caller_that_goes_away_does_not_cut_off_the_others() -> None:
    issuer = Issuer()

    async def test() -> None:
        guard = issuer.guard(issuer.keys())
        first = asyncio.create_task(guard.verify(token()))
        second = asyncio.create_task(guard.verify(token()))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).client_id == "cli_one"
        assert issuer.fetches == 1

    run(test)


def test_a_new_key_is_found_after_one_fetch() -> None:
    issuer = Issuer()

    async def test() -> None:
        guard = issuer.guard(issuer.keys())
        await guard.verify(token())
        issuer.jwks = {"keys": [ec_jwk(ES256), ec_jwk(STRANGER, "key_next")]}
        issuer.now += 11
        assert (await guard.verify(next_token())).client_id == "cli_one"
        assert issuer.fetches == 2

    run(test)


def test_random_key_ids_do_not_make_us_fetch() -> None:
    issuer = Issuer()

    async def test() -> None:
        keys = issuer.keys()
        guard = issuer.guard(keys)
        await guard.verify(token())
        for number in range(2 * MAX_UNKNOWN):
            with pytest.raises(InvalidTokenError):
                await guard.verify(Mint(header={"kid": f"key_{number}"}).token())
        assert issuer.fetches == 1
        issuer.now += 10
        for number in range(2 * MAX_UNKNOWN, 2 * MAX_UNKNOWN + 100):
            with pytest.raises(InvalidTokenError):
                await guard.verify(Mint(header={"kid": f"key_{number}"}).token())
        assert issuer.fetches == 2  # one in ten seconds, whatever comes
        assert len(keys._unknown) == MAX_UNKNOWN

    run(test)


def test_a_known_unknown_key_id_is_not_asked_for_again_soon() -> None:
    issuer = Issuer()

    async def test() -> None:
        keys = issuer.keys()
        assert await keys.find("key_next") is None
        issuer.now += 30
        assert await keys.find("key_next") is None
        assert issuer.fetches == 1
        issuer.now += 31
        assert await keys.find("key_next") is None
        assert issuer.fetches == 2

    run(test)


def test_an_unknown_key_that_appears_is_forgotten_as_unknown() -> None:
    issuer = Issuer()

    async def test() -> None:
        keys = issuer.keys()
        assert await keys.find("key_next") is None
        issuer.jwks = {"keys": [ec_jwk(ES256), ec_jwk(STRANGER, "key_next")]}
        issuer.now += 11
        assert await keys.find("key_other") is None  # this one's fetch brings key_next
        assert await keys.find("key_next") is not None
        assert list(keys._unknown) == ["key_other"]

    run(test)


def test_old_keys_are_renewed_while_they_go_on_working() -> None:
    issuer = Issuer()

    async def test() -> None:
        keys = issuer.keys()
        guard, text = issuer.guard(keys), token()
        await guard.verify(text)
        issuer.jwks = {"keys": [ec_jwk(STRANGER, "key_next")]}
        issuer.now += 301
        await guard.verify(text)  # answered from what is there; the renewal has begun
        await asyncio.sleep(0.001)
        assert issuer.fetches == 2
        with pytest.raises(InvalidTokenError):
            await guard.verify(text)  # the key is gone, and with it what was cached
        assert (await guard.verify(next_token())).client_id == "cli_one"

    run(test)


def test_without_the_issuer_the_old_keys_work_for_a_day(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer()

    async def test() -> None:
        guard, text = issuer.guard(issuer.keys()), token()
        await guard.verify(text)
        issuer.error = httpx.ConnectError("no route")
        issuer.now += 301
        for number in range(5):
            await guard.verify(token(jti=f"jti-{number}"))
            await asyncio.sleep(0.001)
        assert issuer.fetches == 2
        issuer.now += 11
        with pytest.raises(KeysUnavailableError):  # it may be a key that the issuer has just begun to use
            await guard.verify(next_token())
        issuer.now += STALE_SECONDS
        with pytest.raises(KeysUnavailableError) as caught:
            await guard.verify(token(jti="jti-late"))
        assert caught.value.status == 503
        assert 1 <= caught.value.retry_after_seconds <= 10

    run(test)
    assert "ConnectError" in caplog.text


def test_an_issuer_that_is_away_from_the_start() -> None:
    issuer = Issuer(error=httpx.ReadTimeout("too slow"))

    async def test() -> None:
        guard = issuer.guard(issuer.keys())
        for _ in range(3):
            with pytest.raises(KeysUnavailableError):
                await guard.verify(token())
        assert issuer.fetches == 1
        issuer.error, issuer.now = None, issuer.now + 10
        assert (await guard.verify(token())).client_id == "cli_one"

    run(test)


@pytest.mark.parametrize("jwks", [{"keys": []}, {"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}, {}, [], None])
def test_a_set_without_usable_keys_is_a_fault(jwks: Any) -> None:
    issuer = Issuer(jwks=jwks)

    async def test() -> None:
        with pytest.raises(KeysUnavailableError):
            await issuer.keys().find("key_es")

    run(test)


def test_keys_outlive_an_event_loop() -> None:
    issuer = Issuer()
    guard = issuer.guard(issuer.keys())
    assert asyncio.run(guard.verify(token(jti="1"))).token_id == "1"
    issuer.now += 301
    assert asyncio.run(guard.verify(token(jti="2"))).token_id == "2"  # leaves a renewal behind, cut off
    issuer.now += 11
    assert asyncio.run(guard.verify(token(jti="3"))).token_id == "3"


def test_over_real_http() -> None:
    with jwks_server(JWKS) as server:

        async def test() -> None:
            guard = Guard(issuer=ISSUER, audience=AUDIENCE, jwks_url=server.url, now=lambda: float(NOW))
            assert (await guard.verify(token())).client_id == "cli_one"
            assert (await guard.verify(token(jti="another"))).client_id == "cli_one"

        run(test)
        assert server.requests == ["/.well-known/jwks.json"]


@pytest.mark.parametrize(
    ("document", "status", "headers"),
    [
        (JWKS, 404, {}),
        (JWKS, 302, {"Location": "/elsewhere"}),
        (b"no json", 200, {}),
        (b'{"keys": [], "keys": []}', 200, {}),
        (b" " * 300_000, 200, {}),
    ],
)
def test_what_is_no_jwk_set_over_http(document: object, status: int, headers: dict[str, str]) -> None:
    with jwks_server(document) as server:
        server.status, server.headers = status, headers
        with pytest.raises(ValueError, match=r"status|too large|not a JSON"):
            asyncio.run(fetch_jwks(server.url))
        assert len(server.requests) == 1


def test_the_clock_of_fetched_keys_never_jumps_back() -> None:
    assert monotonic_seconds() <= monotonic_seconds()
