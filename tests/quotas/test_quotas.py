"""Quotas: exact counts per client and tenant, a refused call that costs nothing, and state that cannot grow."""

from __future__ import annotations

from typing import Any

import limits.storage.memory
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from omnilab.quotas import Quota, QuotaExceededError, QuotaLimits, QuotaService, parse_quota
from omnilab.quotas.windows import MemoryWindows
from tests.quotas.fakes import FakeClient, FakeClock, FakeTenant, finish


class Desk:
    """A quota service with a clock that the test moves."""

    def __init__(self, **limits: Any) -> None:
        self.clock = FakeClock()
        self.service = QuotaService(QuotaLimits.of(**limits), self.clock, salt=b"0" * 16)

    def charge(self, client: FakeClient, kind: Any = "api") -> dict[str, str]:
        headers = finish(self.service.charge(kind, client))
        return {name.decode(): value.decode() for name, value in headers}

    def passes(self, client: FakeClient, times: int, kind: Any = "api") -> int:
        passed = 0
        for _ in range(times):
            try:
                self.charge(client, kind)
                passed += 1
            except QuotaExceededError:
                pass
        return passed

    def refusal(self, client: FakeClient, kind: Any = "api") -> QuotaExceededError:
        with pytest.raises(QuotaExceededError) as caught:
            self.charge(client, kind)
        return caught.value

    def peek(self, client: FakeClient) -> Any:
        return finish(self.service.peek(client))


def test_exactly_the_quota_passes_and_again_after_the_window() -> None:
    desk = Desk(client_api="5/minute")
    assert desk.passes(FakeClient(), 8) == 5
    desk.clock.seconds += 59.9
    assert desk.passes(FakeClient(), 8) == 0
    desk.clock.seconds += 0.1
    assert desk.passes(FakeClient(), 8) == 5


def test_headers_by_the_draft() -> None:
    desk = Desk(client_api="1200/minute", tenant_api="12000/minute")
    headers = desk.charge(FakeClient())
    assert headers == {
        "ratelimit-policy": '"client";q=1200;w=60, "tenant";q=12000;w=60',
        "ratelimit": '"client";r=1199;t=60, "tenant";r=11999;t=60',
    }
    desk.clock.seconds += 58.5
    assert desk.charge(FakeClient(client_id="cli_two"))["ratelimit"] == '"client";r=1199;t=60, "tenant";r=11998;t=2'


def test_one_limit_alone() -> None:
    assert Desk(client_api="10/second").charge(FakeClient()) == {
        "ratelimit-policy": '"client";q=10;w=1',
        "ratelimit": '"client";r=9;t=1',
    }
    assert Desk(tenant_api="10/hour").charge(FakeClient())["ratelimit"] == '"tenant";r=9;t=3600'


def test_without_limits_there_are_no_headers_and_no_state() -> None:
    desk = Desk()
    assert desk.charge(FakeClient()) == {}
    assert [len(windows) for windows in desk.service._windows.values()] == [0, 0]


def test_a_refusal_says_when_to_come_back_and_whose_quota_it_is() -> None:
    desk = Desk(client_api="1/minute", tenant_api="10/minute")
    desk.charge(FakeClient())
    desk.clock.seconds += 20.5
    error = desk.refusal(FakeClient())
    assert (error.code, error.check, error.retry_after_seconds) == ("quota_exceeded", "quota", 40)
    assert "this client" in error.detail
    assert dict(error.headers)[b"ratelimit"] == b'"client";r=0;t=40, "tenant";r=9;t=40'
    desk.clock.seconds += 39.499
    assert desk.refusal(FakeClient()).retry_after_seconds == 1  # never 0
    tokens = Desk(tenant_token="1/minute")
    tokens.charge(FakeClient(), "token")
    error = tokens.refusal(FakeClient(), "token")
    assert error.code == "token_quota_exceeded"
    assert "this tenant" in error.expected


def test_the_longer_wait_counts_when_both_are_used_up() -> None:
    desk = Desk(client_api="1/second", tenant_api="1/hour")
    desk.charge(FakeClient())
    error = desk.refusal(FakeClient())
    assert error.retry_after_seconds == 3600
    assert "this tenant" in error.detail


def test_who_waits_as_told_is_let_through() -> None:
    desk = Desk(client_api="1/minute")
    desk.clock.seconds = 1000.123
    desk.charge(FakeClient())
    desk.clock.seconds += 17.456
    retry_after = desk.refusal(FakeClient()).retry_after_seconds
    assert retry_after is not None
    desk.clock.seconds += retry_after
    desk.charge(FakeClient())


def test_a_call_that_the_client_refuses_costs_the_tenant_nothing() -> None:
    desk = Desk(client_api="2/minute", tenant_api="5/minute")
    assert desk.passes(FakeClient(), 100) == 2
    assert desk.peek(FakeClient())["api"]["tenant"]["remaining"] == 3
    assert desk.passes(FakeClient(client_id="cli_two"), 100) == 2
    assert desk.passes(FakeClient(client_id="cli_three"), 100) == 1


def test_a_call_that_the_tenant_refuses_costs_the_client_nothing() -> None:
    desk = Desk(client_api="2/minute", tenant_api="1/second")
    desk.charge(FakeClient())
    assert desk.passes(FakeClient(), 50) == 0
    desk.clock.seconds += 1
    assert desk.passes(FakeClient(), 50) == 1


def test_tokens_and_calls_are_counted_apart() -> None:
    desk = Desk(client_api="2/minute", client_token="1/minute")
    assert desk.passes(FakeClient(), 5) == 2
    assert desk.passes(FakeClient(), 5, "token") == 1


def test_provisioned_quotas_come_before_the_defaults() -> None:
    desk = Desk(client_api="2/minute", tenant_api="3/minute")
    own = FakeClient(api_quota="7/minute", tenant=FakeTenant(api_quota="6/minute"))
    assert desk.passes(own, 20) == 6
    assert Desk().passes(FakeClient(token_quota="4/minute"), 20, "token") == 4  # in development too
    assert Desk().passes(FakeClient(tenant=FakeTenant(token_quota="4/minute")), 20, "token") == 4


def test_a_changed_quota_counts_at_once() -> None:
    desk = Desk()
    assert desk.passes(FakeClient(api_quota="3/minute"), 10) == 3
    assert desk.passes(FakeClient(api_quota="5/minute"), 10) == 2  # what was used stays used
    assert desk.passes(FakeClient(api_quota="1/minute"), 10) == 0
    assert desk.peek(FakeClient(api_quota="1/minute"))["api"]["client"]["remaining"] == 0
    assert desk.passes(FakeClient(api_quota="2/second"), 10) == 2  # another length, another window


def test_peek_counts_nothing() -> None:
    desk = Desk(client_api="5/minute", client_token="2/minute", tenant_token="20/hour")
    for _ in range(10):
        before = desk.peek(FakeClient())
    assert before == {
        "token": {
            "client": {"limit": 2, "window_seconds": 60, "remaining": 2, "resets_in_seconds": 60},
            "tenant": {"limit": 20, "window_seconds": 3600, "remaining": 20, "resets_in_seconds": 3600},
        },
        "api": {
            "client": {"limit": 5, "window_seconds": 60, "remaining": 5, "resets_in_seconds": 60},
            "tenant": None,
        },
    }
    desk.charge(FakeClient())
    desk.clock.seconds += 10
    assert desk.peek(FakeClient())["api"]["client"] == {
        "limit": 5,
        "window_seconds": 60,
        "remaining": 4,
        "resets_in_seconds": 50,
    }
    desk.clock.seconds += 50
    assert desk.peek(FakeClient())["api"]["client"]["remaining"] == 5


@pytest.mark.parametrize(
    ("text", "quota"),
    [("600/minute", (600, 60)), ("1/second", (1, 1)), ("10/hour", (10, 3600)), ("5/day", (5, 86400))],
)
def test_quota_texts(text: str, quota: tuple[int, int]) -> None:
    assert parse_quota(text) == quota


@pytest.mark.parametrize("text", ["", "600", "many/minute", "0/minute", "-1/minute", "600/fortnight"])
def test_texts_that_are_no_quota(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_quota(text)


def test_windows_are_forgotten_once_closed() -> None:
    desk = Desk(client_api="5/minute")
    for number in range(3000):
        desk.charge(FakeClient(client_id=f"cli_{number}"))
        desk.clock.seconds += 0.2  # 300 clients a minute
    assert len(desk.service._windows["api"]) <= 302


def test_long_windows_do_not_keep_short_ones_from_being_forgotten() -> None:
    desk = Desk()
    for number in range(100):
        desk.charge(FakeClient(client_id=f"cli_long_{number}", api_quota="5/day"))
    for number in range(3000):
        desk.charge(FakeClient(client_id=f"cli_{number}", api_quota="5/minute"))
        desk.clock.seconds += 0.2
    assert len(desk.service._windows["api"]) <= 100 + 2 * 302
    assert desk.peek(FakeClient(client_id="cli_long_0", api_quota="5/day"))["api"]["client"]["remaining"] == 4


def test_the_number_of_windows_is_bounded() -> None:
    windows, quota = MemoryWindows(max_windows=50), Quota(5, 60)
    for number in range(500):
        windows.open(f"cli_{number}", quota, 1000.0)
    assert len(windows) == 50
    assert windows.find("cli_0", quota, 1000.0) is None  # the oldest is let through anew, never refused
    assert windows.find("cli_499", quota, 1000.0) is not None


class FrozenTime:
    """`limits` reads the clock itself; this is the clock it then reads."""

    now = 1000.0

    @classmethod
    def time(cls) -> float:
        return cls.now


@pytest.fixture
def limits_storage(monkeypatch: pytest.MonkeyPatch) -> type[FrozenTime]:
    monkeypatch.setattr(limits.storage.memory, "time", FrozenTime)
    monkeypatch.setattr(MemoryStorage, "_MemoryStorage__schedule_expiry", lambda self: None)
    return FrozenTime


STEPS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0, 1, 20, 59, 60, 61])), max_size=80)


@pytest.mark.usefixtures("limits_storage")
def test_decides_as_the_limits_library_does() -> None:
    @settings(max_examples=60, deadline=None)
    @given(STEPS)
    def decide_alike(steps: list[tuple[str, int]]) -> None:
        desk = Desk(client_api="5/minute")
        theirs = FixedWindowRateLimiter(MemoryStorage())
        theirs.storage.timer.join()  # type: ignore[attr-defined]
        item, FrozenTime.now = RateLimitItemPerMinute(5), desk.clock.seconds
        for who, waited in steps:
            desk.clock.seconds += waited
            FrozenTime.now = desk.clock.seconds
            client = FakeClient(client_id=who)
            expected = theirs.hit(item, who)
            stats = theirs.get_window_stats(item, who)
            assert (desk.passes(client, 1) == 1) is expected
            state = desk.peek(client)["api"]["client"]
            assert state["remaining"] == stats.remaining
            assert state["resets_in_seconds"] == max(1, round(stats.reset_time - FrozenTime.now))

    decide_alike()
