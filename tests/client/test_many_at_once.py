"""Threads and tasks at once, really: one token request when cold, one renewal at expiry, nobody fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from omnilab.client import AsyncOmniLab, NoAnswerError, OmniLab
from omnilab.client.testing import FakeOmniLab
from omnilab.client.testing.fake_http import Question, Reply

CONTACT = "contact-1"


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Run `work` in so many threads that all begin at the same moment."""
    gate = threading.Barrier(count)

    def begin(number: int) -> object:
        gate.wait(30)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


class Gate:
    """Lets the fake's answers to token requests wait until it is opened; counts those that are inside."""

    def __init__(self, fake: FakeOmniLab) -> None:
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self._answer = fake.answer
        fake.transport._answering = self.pass_on  # the transport asks whom it is given

    def pass_on(self, question: Question) -> Reply:
        reply = self._answer(question)
        if question.target.endswith("oauth:token"):
            self.entered.release()
            assert self.opened.wait(30)
        return reply


def listed(client: OmniLab) -> int:
    return len(list(client.bookings.list(CONTACT)))


def test_an_expiry_under_load_costs_one_renewal_and_no_call() -> None:
    fake = FakeOmniLab(lifetime_seconds=100)
    fake.add_booking(CONTACT)
    client = fake.client(total_seconds=3600)  # time jumps while calls are under way
    ended = threading.Event()
    done = [0] * 20

    def work(number: int) -> None:
        while not ended.is_set():
            assert listed(client) == 1
            done[number] += 1

    def until(condition: Callable[[], bool]) -> None:
        while not condition():
            ended.wait(0.002)

    def time_passes() -> None:
        try:
            for expected in range(2, 7):
                fake.advance(90)  # due for renewal, still good
                until(lambda expected=expected: f"{expected:08d}" in client.access_token().reveal())  # type: ignore[misc]
                before = list(done)  # no call that still holds the old token is left behind
                until(lambda before=before: all(now > then + 1 for now, then in zip(done, before, strict=True)))  # type: ignore[misc]
        finally:
            ended.set()

    listed(client)
    timer = threading.Thread(target=time_passes)
    timer.start()
    in_threads(20, work)
    timer.join()
    assert fake.tokens.issued == 6
    assert {call.code for call in fake.calls} == {""}


def test_a_revocation_under_load_costs_one_renewal_and_no_call() -> None:
    fake = FakeOmniLab()
    fake.add_booking(CONTACT)
    client = fake.client()
    listed(client)
    fake.revoke_tokens()
    assert in_threads(100, lambda _: listed(client)) == [1] * 100
    assert fake.tokens.issued == 2


def test_threads_go_on_with_the_old_token_while_the_renewal_hangs() -> None:
    fake = FakeOmniLab()
    fake.add_booking(CONTACT)
    client = fake.client()
    listed(client)
    gate = Gate(fake)
    fake.advance(3600 * 0.9)
    assert in_threads(50, lambda _: listed(client)) == [1] * 50
    assert gate.entered.acquire(timeout=10)
    assert not gate.entered.acquire(blocking=False)
    gate.opened.set()
    while client.access_token().reveal().find("00000002") < 0:
        pass
    assert fake.tokens.issued == 2


def test_a_renewal_that_hangs_does_not_hold_up_a_forced_one() -> None:
    """A slow renewal races a revocation; what it brings is thrown away."""
    fake = FakeOmniLab()
    fake.add_booking(CONTACT)
    client = fake.client()
    listed(client)
    gate = Gate(fake)
    fake.advance(3600 * 0.9)
    assert listed(client) == 1
    assert gate.entered.acquire(timeout=10)  # the renewal has its token (2), which is still on its way
    slow = gate.opened
    fake.revoke_tokens()  # tokens 1 and 2 are dead
    gate.opened = threading.Event()
    gate.opened.set()
    assert listed(client) == 1
    assert "00000003" in client.access_token().reveal()
    slow.set()
    renewals = [thread for thread in threading.enumerate() if thread.name == "omnilab-renewal"]
    for thread in renewals:
        thread.join(10)
    assert "00000003" in client.access_token().reveal()
    assert listed(client) == 1
    assert fake.tokens.issued == 3


def test_a_task_that_is_cancelled_takes_nobody_along() -> None:
    fake = FakeOmniLab()
    gate = Gate(fake)

    async def main() -> None:
        async with AsyncOmniLab(environ=fake.environ, transport=Slow(fake, gate)) as client:
            first = asyncio.create_task(client.whoami())
            others = [asyncio.create_task(client.whoami()) for _ in range(20)]
            await asyncio.to_thread(gate.entered.acquire)
            first.cancel()
            others[0].cancel()
            await asyncio.sleep(0)
            gate.opened.set()
            done = await asyncio.gather(first, *others, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in done] == [True, True, *[False] * 19]
        assert not [each for each in done[2:] if isinstance(each, BaseException)]

    asyncio.run(main())
    assert fake.tokens.issued == 1


class Slow(httpx.AsyncBaseTransport):
    """The fake, answering beside the event loop, so that a gate stops one request and not all."""

    def __init__(self, fake: FakeOmniLab, _gate: Gate) -> None:
        self._fake = fake

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await asyncio.to_thread(self._fake.transport.handle_request, request)


def test_one_client_serves_one_event_loop_after_the_other() -> None:
    fake = FakeOmniLab()
    with fake.serve():
        client = AsyncOmniLab(environ=fake.environ)
        for _ in range(3):
            assert asyncio.run(client.whoami()).tenant == "acme"

        async def end() -> None:
            await client.aclose()

        asyncio.run(end())
    assert fake.tokens.issued == 1


def test_a_closed_loop_leaves_no_flight_behind() -> None:
    fake = FakeOmniLab()
    gate = Gate(fake)
    client = AsyncOmniLab(environ=fake.environ, transport=Slow(fake, gate))

    async def cut_off() -> None:
        asyncio.get_running_loop().create_task(client.whoami())
        await asyncio.to_thread(gate.entered.acquire)
        gate.opened.set()

    asyncio.run(cut_off())
    assert asyncio.run(client.whoami()).tenant == "acme"


def test_auth_shares_one_token_between_threads_and_tasks() -> None:
    fake = FakeOmniLab()
    auth = fake.auth()
    with httpx.Client(base_url=fake.base_url, auth=auth, transport=fake.transport) as threads:

        def in_loop(_: int) -> int:
            async def main() -> int:
                async with httpx.AsyncClient(base_url=fake.base_url, auth=auth, transport=fake.transport) as tasks:
                    answers = await asyncio.gather(*(tasks.get("/v1/oauth:whoami") for _ in range(20)))
                    return sum(answer.status_code for answer in answers) // 20

            return asyncio.run(main())

        def mixed(number: int) -> int:
            return in_loop(number) if number % 2 else threads.get("/v1/oauth:whoami").status_code

        assert in_threads(16, mixed) == [200] * 16
    assert fake.tokens.issued == 1


def test_waiters_end_in_time_when_the_token_service_hangs() -> None:
    fake = FakeOmniLab()
    gate = Gate(fake)
    client = fake.client(total_seconds=0.2)

    def work(_: int) -> str:
        try:
            client.whoami()
        except NoAnswerError as error:
            return error.code
        return "answered"

    threading.Timer(0.5, gate.opened.set).start()
    assert "no_answer" in in_threads(5, work)


@pytest.mark.parametrize("after", [False, True])
def test_no_cancel_is_done_twice_when_answers_are_lost(after: bool) -> None:
    fake = FakeOmniLab()
    bookings = [fake.add_booking(CONTACT) for _ in range(40)]
    client = fake.client()
    for _ in range(10):
        fake.lose_next(call="cancel", after=after)
    done = in_threads(40, lambda number: client.bookings.cancel(CONTACT, bookings[number].booking_id).booking_status)
    assert done == ["CANCELLED"] * 40
    assert fake.store.cancelled == 40
    assert sum(call.lost for call in fake.calls) == 10
    assert sum(call.replayed for call in fake.calls) == (10 if after else 0)
