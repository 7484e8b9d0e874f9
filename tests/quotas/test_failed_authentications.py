"""Failed authentications: wrong secrets are slowed down, right ones never, in a fixed amount of memory."""

from __future__ import annotations

import sys
from typing import Any

from omnilab.quotas import QuotaLimits, QuotaService
from omnilab.quotas.failures import NAMED_IN_SUMMARY
from tests.quotas.fakes import FakeClock, finish


class Door:
    """The limits as the contract has them, with a clock that the test moves."""

    def __init__(self, per_client: int | None = 20, per_address: int | None = 200) -> None:
        limits = QuotaLimits.of(failed_per_client_per_minute=per_client, failed_per_address_per_minute=per_address)
        self.clock = FakeClock(seconds=1200.0)
        self.service = QuotaService(limits, self.clock, salt=b"1" * 16)

    def fail(self, address: str = "192.0.2.1", client_id: str = "cli_one") -> Any:
        return finish(self.service.failed_authentication(address, client_id))

    def succeed(self, address: str = "192.0.2.1", client_id: str = "cli_one") -> None:
        self.service.authenticated(address, client_id)

    def answered_401(self, times: int, **whose: str) -> int:
        return sum(not self.fail(**whose).refused for _ in range(times))


def test_twenty_a_minute_for_one_address_and_client() -> None:
    door = Door()
    assert door.answered_401(30) == 20
    assert door.answered_401(30, client_id="cli_two") == 20
    assert door.answered_401(30, address="192.0.2.2") == 20
    door.clock.seconds += 60
    assert door.answered_401(30) == 20


def test_two_hundred_a_minute_for_one_address() -> None:
    door = Door()
    assert sum(door.answered_401(1, client_id=f"cli_{number}") for number in range(400)) == 200


def test_retry_after_is_the_rest_of_the_minute() -> None:
    door = Door(per_client=0)
    door.clock.seconds = 1200.0
    assert door.fail().retry_after_seconds == 60
    door.clock.seconds = 1259.999
    assert door.fail().retry_after_seconds == 1


def test_a_right_secret_takes_its_own_failures_back() -> None:
    door = Door()
    for _ in range(100):  # a library that tries Basic first and the body second
        assert not door.fail().refused
        door.succeed()
    assert door.answered_401(300, client_id="cli_other") == 20


def test_a_right_secret_does_not_clear_the_address_for_guessing_at_others() -> None:
    door = Door()
    passed = 0
    for number in range(400):
        passed += door.answered_401(1, client_id=f"cli_{number}")
        door.fail(client_id="cli_mine")
        door.succeed(client_id="cli_mine")
    assert passed == 200


def test_forgiving_needs_failures_of_this_minute() -> None:
    door = Door()
    door.succeed()
    assert door.answered_401(20) == 20
    door.clock.seconds += 60
    door.succeed()
    assert door.answered_401(30) == 20
    door.clock.seconds += 60
    door.fail(client_id="cli_two")
    door.succeed()
    assert door.answered_401(30) == 20


def test_off_unless_set() -> None:
    door = Door(None, None)
    assert door.answered_401(1000) == 1000
    door.succeed()
    assert door.service.take_flood(finished_only=False) is None


def test_one_limit_alone() -> None:
    assert Door(per_client=None).answered_401(300) == 200
    assert Door(per_address=None).answered_401(300) == 20


def test_one_summary_a_minute() -> None:
    door = Door(per_client=1)
    assert door.service.take_flood() is None
    started = door.clock.now_ms()
    for _ in range(11):
        door.fail()
    assert door.service.take_flood() is None  # the minute is not over
    door.clock.seconds += 30
    door.fail(client_id="cli_two")
    door.fail(client_id="cli_two")
    door.clock.seconds += 30
    flood = door.service.take_flood()
    assert flood is not None
    assert flood.refused == 11
    assert (flood.started_at, flood.ended_at) == (started, started + 30_000)
    assert flood.addresses == {"192.0.2.1": 11}
    assert flood.client_ids == {"cli_one": 10, "cli_two": 1}
    assert door.service.take_flood() is None  # only once


def test_at_stop_the_current_minute_is_told() -> None:
    door = Door(per_client=0)
    door.fail()
    flood = door.service.take_flood(finished_only=False)
    assert flood is not None
    assert flood.refused == 1


def test_no_number_of_strangers_makes_the_state_grow() -> None:
    door = Door(per_client=0)
    failures = door.service._failures

    def size() -> int:
        counters = (failures._pairs, failures._addresses)
        return sum(sys.getsizeof(each._counts) + sys.getsizeof(each._minutes) for each in counters)

    before = size()
    for number in range(5000):
        door.fail(address=f"2001:db8:{number:x}::/64", client_id="c" * 10_000 + f"\ud800{number}")
    assert size() == before < 1_000_000
    flood = door.service.take_flood(finished_only=False)
    assert flood is not None
    assert flood.refused == 5000
    assert len(flood.addresses) == len(flood.client_ids) + 19 == NAMED_IN_SUMMARY
    assert all(len(name) <= 255 for name in flood.client_ids)


def test_who_shares_a_counter_cannot_be_known_outside() -> None:
    limits = QuotaLimits.of(failed_per_client_per_minute=1)
    numbers = {
        QuotaService(limits, FakeClock(), salt=salt)._failures._number("192.0.2.1", "cli_one")
        for salt in (b"a" * 16, b"b" * 16, b"c" * 80)
    }
    assert len(numbers) == 3
