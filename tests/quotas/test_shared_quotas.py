"""Quotas in a real Redis: exact over many workers, never paid for what was refused, and alone while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from omnilab.clock import SystemClock
from omnilab.quotas import QuotaExceededError, QuotaLimits, QuotaService
from omnilab.quotas.counter_server import CounterServer
from omnilab.quotas.shared import SharedWindows
from tests.harness.redis import Redis, redis_server
from tests.quotas.fakes import FakeClient, FakeTenant

KEY = b"k" * 32


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


@pytest.fixture(autouse=True)
def emptied(redis: Redis) -> None:
    redis.client.flushall()


@asynccontextmanager
async def workers(redis: Redis, count: int = 3, key: bytes = KEY, **limits: Any) -> AsyncIterator[list[QuotaService]]:
    """So many workers as they stand on different nodes, each with a connection of its own."""
    made = []
    for _ in range(count):
        shared = SharedWindows(CounterServer(redis.url), SystemClock(), key=key)
        made.append(QuotaService(QuotaLimits.of(**limits), SystemClock(), salt=b"s" * 16, shared=shared))
        await shared.server.start()
    try:
        yield made
    finally:
        for each in made:
            assert each.shared is not None
            await each.shared.server.close()


async def passed(services: list[QuotaService], client: FakeClient, times: int, kind: Any = "api") -> int:
    """How many of `times` calls pass on each of the services, all at once."""

    async def call(service: QuotaService) -> bool:
        try:
            await service.charge(kind, client)
        except QuotaExceededError:
            return False
        return True

    return sum(await asyncio.gather(*(call(service) for _ in range(times) for service in services)))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


def run(test: Awaitable[None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(within())


def is_away(service: QuotaService) -> bool:
    assert service.shared is not None
    return service.shared.server.is_away


def test_exactly_the_quota_passes_on_three_workers_at_once(redis: Redis) -> None:
    async def test() -> None:
        async with workers(redis, client_api="100/minute") as three:
            assert await passed(three, FakeClient(), 80) == 100
            assert await passed(three, FakeClient(client_id="cli_two"), 10) == 30

    run(test())


def test_what_one_counter_refuses_costs_the_other_nothing(redis: Redis) -> None:
    async def test() -> None:
        async with workers(redis, client_api="10/minute", tenant_api="25/minute") as three:
            assert await passed(three, FakeClient(), 10) == 10
            assert await passed(three, FakeClient(client_id="cli_two"), 3) == 9
            # The tenant had 19 of 25: the third client's quota is not used up by what the tenant's refuses.
            assert await passed(three, FakeClient(client_id="cli_three"), 5) == 6
            state = await three[1].peek(FakeClient(client_id="cli_three"))
            assert (state["api"]["client"]["remaining"], state["api"]["tenant"]["remaining"]) == (4, 0)

    run(test())


def test_headers_and_refusals_tell_what_all_workers_counted(redis: Redis) -> None:
    async def test() -> None:
        async with workers(redis, 2, client_api="3/hour", tenant_api="10/hour") as (one, two):
            await one.charge("api", FakeClient())
            headers = dict(await two.charge("api", FakeClient()))
            assert headers[b"ratelimit"].startswith(b'"client";r=1;t=3600, "tenant";r=8;t=')
            await one.charge("api", FakeClient())
            with pytest.raises(QuotaExceededError) as caught:
                await two.charge("api", FakeClient())
            assert caught.value.retry_after_seconds == 3600
            assert "this client" in caught.value.detail

    run(test())


def test_a_window_opens_again_after_its_time(redis: Redis) -> None:
    async def test() -> None:
        async with workers(redis, 2, client_api="5/second") as both:
            assert await passed(both, FakeClient(), 5) == 5
            await until(lambda: not redis.client.keys())
            # A worker's own window closes when Redis's does, and later by what the answer took that told it.
            async with asyncio.timeout(30):
                while not (first := await passed(both, FakeClient(), 1)):
                    await asyncio.sleep(0.02)
            assert first + await passed(both, FakeClient(), 5) == 5
            assert all(redis.client.pttl(key) > 0 for key in redis.client.scan_iter())

    run(test())


def test_tenants_and_environments_are_apart(redis: Redis) -> None:
    async def test() -> None:
        async with workers(redis, 1, tenant_token="5/minute") as [one]:
            other = FakeClient(client_id="cli_two", tenant=FakeTenant(tenant_id="ten_other"))
            assert await passed([one], FakeClient(), 9, "token") == 5
            assert await passed([one], other, 9, "token") == 5
        async with workers(redis, 1, key=b"another installation's key", tenant_token="5/minute") as [elsewhere]:
            assert await passed([elsewhere], FakeClient(), 9, "token") == 5

    run(test())


@settings(max_examples=30)
@given(amount=st.integers(1, 6), calls=st.lists(st.integers(0, 2), max_size=25))
def test_the_decisions_of_limits(redis: Redis, amount: int, calls: list[int]) -> None:
    """Call for call what the library's own fixed window over Redis decides."""
    redis.client.flushall()
    theirs = FixedWindowRateLimiter(RedisStorage(redis.url))
    expected = [theirs.hit(RateLimitItemPerMinute(amount), f"cli_{number}") for number in calls]

    async def test() -> None:
        async with workers(redis, client_api=f"{amount}/minute") as three:
            decided = [
                await passed([three[place % 3]], FakeClient(client_id=f"cli_{number}"), 1) == 1
                for place, number in enumerate(calls)
            ]
            assert decided == expected

    run(test())


def test_failed_authentications_count_together_and_a_right_secret_takes_its_own_back(redis: Redis) -> None:
    async def test() -> None:
        async with workers(redis, failed_per_client_per_minute=20, failed_per_address_per_minute=200) as three:

            async def refusals(client_id: str, times: int) -> int:
                asked = [
                    service.failed_authentication("192.0.2.7", client_id) for _ in range(times) for service in three
                ]
                return sum(verdict.refused for verdict in await asyncio.gather(*asked))

            assert await refusals("cli_one", 10) == 10
            three[0].authenticated("192.0.2.7", "cli_one")
            assert await refusals("cli_one", 10) == 10
            verdict = await three[2].failed_authentication("192.0.2.7", "cli_one")
            assert verdict.refused
            assert 1 <= verdict.retry_after_seconds <= 60
            assert sum([await refusals(f"cli_{number}", 6) for number in range(20)]) == 391 - 200

    run(test())


def test_keys_name_nobody_and_strangers_fill_a_fixed_number(redis: Redis) -> None:
    async def test() -> None:
        limits: Any = {"client_token": "9/minute", "tenant_token": "9/minute", "failed_per_client_per_minute": 5}
        async with workers(redis, 1, **limits) as [one]:
            await one.charge("token", FakeClient())
            await one.failed_authentication("192.0.2.7", "cli_one")
            text = " ".join(redis.client.keys())
            assert not any(name in text for name in ("cli_", "ten_", "192.0.2.7"))
            assert one.shared is not None
            names = {one.shared._failures("192.0.2.7", f"made-up-{number}")[0] for number in range(100_000)}
            assert 40_000 < len(names) <= 65_536

    run(test())


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_while_it_is_away_each_worker_enforces_the_full_figure(redis: Redis, fault: str) -> None:
    async def test() -> None:
        async with workers(redis, client_api="100/hour") as three:
            assert await passed(three, FakeClient(), 10) == 30
            getattr(redis, fault)()
            # All had been told of up to 30 calls; each goes on from what it was told.
            assert 3 * 70 <= await passed(three, FakeClient(), 120) <= 3 * 100
            assert all(is_away(each) for each in three)
            if fault == "kill":
                redis.start()
            else:
                redis.thaw()
            await until(lambda: not any(is_away(each) for each in three))
            # What it forgot the workers still know, and what was sent to it while it was silent it counts late.
            assert await passed(three, FakeClient(), 50) == 0
            assert [each.shared.server.absences for each in three if each.shared] == [1, 1, 1]

    run(test())


@pytest.mark.parametrize(
    "nonsense", [b"*0\r\n", b":1\r\n", b"$2\r\nno\r\n", b"*1\r\n$2\r\nno\r\n", b"no RESP at all\r\n"]
)
def test_an_answer_that_is_none_keeps_nobody_waiting(nonsense: bytes) -> None:
    """Such as that of something else which listens there, or one that belongs to another question."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            for command in data.split(b"*")[1:]:
                said = nonsense if b"EVALSHA" in command else b"+PONG\r\n"
                writer.write(said)

    async def test() -> None:
        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with listening:
            server = CounterServer(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}?protocol=2")
            await server.start()
            asked = [server.ask("look", ["key"], [60_000]) for _ in range(3)]
            assert await asyncio.wait_for(asyncio.gather(*asked), 10) == [None] * 3
            assert server.is_away
            await until(lambda: not server.is_away)
            await server.close()

    run(test())


def test_a_worker_starts_without_it_and_finds_it_later(redis: Redis) -> None:
    async def test() -> None:
        redis.kill()
        try:
            async with workers(redis, 1, client_api="10/hour") as [one]:
                assert is_away(one)
                assert await passed([one], FakeClient(), 4) == 4
                redis.start()
                await until(lambda: not is_away(one))
                state = await one.peek(FakeClient())
                assert state["api"]["client"]["limit"] == 10
        finally:
            redis.stop()
            redis.start()

    run(test())
