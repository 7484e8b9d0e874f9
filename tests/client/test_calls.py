"""What one call does: what it repeats, what it never repeats, and when it stops."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from omnilab.client import (
    AuthenticationError,
    BookingNotFoundError,
    NoAnswerError,
    OmniLabError,
    RateLimitedError,
    UnavailableError,
    UnreadableAnswerError,
)
from omnilab.client.answers import HOPELESS
from omnilab.client.bookings import BOOKINGS, WHOAMI, Pager, cancel_call, list_target, whoami_call
from omnilab.client.calls import Call
from omnilab.client.effects import Answer
from omnilab.client.results import Booking, BookingsPage
from tests.client.by_hand import BOOKING, BROKEN, REFUSED, Stage, answer, problem

READ = Call("GET", "/v1/thing")


def cancel(**options: Any) -> Call:
    given: dict[str, Any] = {"reason": None, "idempotency_key": None} | options
    return cancel_call("contact-1", "bkg_1", **given)


def keys(stage: Stage) -> list[str | None]:
    return [send.idempotency_key for send in stage.api_calls]


@pytest.mark.parametrize("first", [BROKEN, REFUSED, answer(500, {}), answer(502, "<html>"), answer(504, {})])
def test_a_read_is_repeated_until_it_is_answered(first: Any) -> None:
    stage = Stage()
    stage.api_replies = [first, first, first]
    assert stage.play(stage.caller.call(READ, BOOKINGS)).booking_id == "bkg_1"
    assert len(stage.api_calls) == 4
    assert len(stage.pauses) == 3


@pytest.mark.parametrize("first", [BROKEN, problem("temporarily_unavailable"), problem("idempotency_in_progress")])
def test_a_cancel_is_repeated_under_one_key(first: Any) -> None:
    stage = Stage()
    stage.api_replies = [first, first]
    stage.play(stage.caller.call(cancel(), BOOKINGS))
    sent = keys(stage)
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert sent[0] is not None
    assert len(sent[0]) == 32


def test_each_cancel_has_a_key_of_its_own() -> None:
    assert cancel().idempotency_key != cancel().idempotency_key
    assert cancel(idempotency_key="mine").idempotency_key == "mine"


@pytest.mark.parametrize("reply", [BROKEN, REFUSED, problem("temporarily_unavailable"), problem("quota_exceeded")])
def test_a_cancel_without_a_key_is_made_once(reply: Any) -> None:
    stage = Stage()
    stage.api_replies = [reply]
    with pytest.raises(OmniLabError):
        stage.play(stage.caller.call(cancel(idempotency_key=False), BOOKINGS))
    assert keys(stage) == [None]
    assert stage.pauses == []


def test_an_error_of_a_cancel_tells_the_key_to_repeat_it_with() -> None:
    stage = Stage()
    stage.api_replies = [BROKEN] * 100
    with pytest.raises(NoAnswerError) as caught:
        stage.play(stage.caller.call(cancel(idempotency_key="mine"), BOOKINGS))
    assert caught.value.idempotency_key == "mine"
    assert caught.value.sent


def test_an_attempt_that_may_have_arrived_is_not_forgotten_for_a_later_one_that_did_not() -> None:
    stage = Stage()
    stage.api_replies = [BROKEN, *[REFUSED] * 100]
    with pytest.raises(NoAnswerError) as caught:
        stage.play(stage.caller.call(cancel(), BOOKINGS))
    assert caught.value.sent


@pytest.mark.parametrize("code", ["token_expired", "token_revoked", "token_malformed", "token_predates_grant"])
def test_after_a_refused_token_one_new_one_and_one_retry(code: str) -> None:
    stage = Stage()
    stage.api_replies = [problem(code)]
    stage.play(stage.caller.call(cancel(), BOOKINGS))
    assert stage.token_requests == 2
    assert stage.bearers == ["token-1", "token-2"]
    assert len(set(keys(stage))) == 1
    assert stage.pauses == []


def test_when_the_new_token_is_refused_too_the_call_ends() -> None:
    stage = Stage()
    stage.api_replies = [problem("token_revoked"), problem("token_revoked")]
    with pytest.raises(AuthenticationError) as caught:
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("token_revoked", 401, "req-1")
    assert (stage.token_requests, len(stage.api_calls)) == (2, 2)


def test_a_401_that_is_not_omnilabs_counts_as_one_too() -> None:
    stage = Stage()
    stage.api_replies = [Answer(401, {"content-type": "text/html"}, b"<html>")]
    stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.token_requests == 2


@pytest.mark.parametrize("code", sorted(HOPELESS))
def test_no_token_is_asked_for_where_none_can_help(code: str) -> None:
    stage = Stage()
    stage.api_replies = [problem(code)]
    with pytest.raises(AuthenticationError):
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.token_requests == 1


def test_an_api_that_refuses_every_token_does_not_cost_one_a_call() -> None:
    stage = Stage()
    stage.api_replies = [problem("token_revoked") for _ in range(100)]
    for _ in range(20):
        with pytest.raises(AuthenticationError):
            stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.token_requests == 2
    stage.clock.seconds += 11
    with pytest.raises(AuthenticationError):
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.token_requests == 3


@pytest.mark.parametrize("code", ["booking_not_found", "parameter_invalid", "endpoint_not_enabled", "slot_full"])
def test_what_cannot_get_better_is_not_repeated(code: str) -> None:
    stage = Stage()
    stage.api_replies = [problem(code)]
    with pytest.raises(OmniLabError) as caught:
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert caught.value.code == code
    assert len(stage.api_calls) == 1


def test_retry_after_is_a_lower_bound_with_jitter_on_top() -> None:
    for luck in (0.0, 0.5, 0.99):
        stage = Stage()
        stage.clock.luck = luck
        stage.api_replies = [problem("temporarily_unavailable", retry_after="7")]
        stage.play(stage.caller.call(READ, BOOKINGS))
        assert stage.pauses == [pytest.approx(7 + luck * 0.25)]


def test_full_jitter_grows_and_is_capped() -> None:
    stage = Stage(total_seconds=3600)
    stage.clock.luck = 0.999
    stage.api_replies = [BROKEN] * 8
    stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.pauses == [pytest.approx(0.999 * span) for span in (0.25, 0.5, 1, 2, 4, 8, 8, 8)]


def test_the_time_of_all_attempts_together_is_capped() -> None:
    stage = Stage(total_seconds=30)
    began = stage.clock.seconds
    stage.api_replies = [answer(503, {}) for _ in range(1000)]
    with pytest.raises(UnavailableError):
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.clock.seconds - began < 30
    assert {send.deadline for send in stage.sent} == {began + 30}


def test_a_wait_beyond_the_calls_time_is_told_and_not_made() -> None:
    stage = Stage(total_seconds=30)
    stage.api_replies = [problem("quota_exceeded", retry_after="31")]
    with pytest.raises(RateLimitedError) as caught:
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert caught.value.retry_after_seconds == 31
    assert stage.pauses == []


def test_retry_after_as_a_date_counts_from_the_answers_own_date() -> None:
    stage = Stage()
    date, later = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:05 GMT"
    stage.api_replies = [problem("quota_exceeded", retry_after=later, date=date)]
    stage.play(stage.caller.call(READ, BOOKINGS))
    assert 5 <= stage.pauses[0] <= 6


def test_one_call_that_is_told_to_wait_is_told_for_all() -> None:
    stage = Stage()
    first = stage.caller.call(READ, BOOKINGS)
    stage.api_replies = [problem("quota_exceeded", retry_after="9")]
    effect = first.send(None)
    while type(effect).__name__ != "Pause":
        effect = first.send(stage.perform(effect))
    stage.play(stage.caller.call(READ, BOOKINGS))  # another call, meanwhile
    assert stage.pauses == [pytest.approx(9.25)]
    assert len(stage.api_calls) == 2


def test_a_used_up_quota_holds_the_next_call_back() -> None:
    stage = Stage()
    told = {"ratelimit": '"client";r=0;t=4, "tenant";r=90;t=30'}
    stage.api_replies = [Answer(200, told, answer(200, BOOKING).body)]
    stage.play(stage.caller.call(READ, BOOKINGS))
    assert [tuple(limit) for limit in stage.caller.limits.told()] == [("client", 0, 4), ("tenant", 90, 30)]
    stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.pauses == [pytest.approx(4.25)]


def test_a_quota_that_opens_too_late_does_not_stop_a_call() -> None:
    stage = Stage(total_seconds=30)
    stage.api_replies = [Answer(200, {"ratelimit": '"client";r=0;t=58'}, answer(200, BOOKING).body)]
    stage.play(stage.caller.call(READ, BOOKINGS))
    stage.play(stage.caller.call(READ, BOOKINGS))
    assert stage.pauses == []


@pytest.mark.parametrize(
    "reply",
    [
        Answer(200, {"content-type": "text/html"}, b"<html>Sign in</html>"),
        Answer(302, {"location": "https://elsewhere"}, b""),
        answer(200, {"bookings": 1}),
        answer(404, {"error": 5}),
    ],
)
def test_what_is_not_of_the_contract_is_said_to_be_so(reply: Answer) -> None:
    stage = Stage()
    stage.api_replies = [reply]
    with pytest.raises(UnreadableAnswerError) as caught:
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert caught.value.code == "answer_unreadable"
    assert len(stage.api_calls) == 1


def test_a_code_that_is_not_known_yet_has_the_class_of_its_status() -> None:
    stage = Stage()
    stage.api_replies = [answer(429, {"code": "brand_new", "detail": "d"}, retry_after="99")]
    with pytest.raises(RateLimitedError, match="brand_new"):
        stage.play(stage.caller.call(READ, BOOKINGS))


def test_fields_are_named() -> None:
    stage = Stage()
    body = {"code": "parameter_invalid", "detail": "d", "errors": [{"field": "page_size", "detail": "too much"}]}
    stage.api_replies = [answer(400, body, x_request_id="req-9")]
    with pytest.raises(OmniLabError, match=r"page_size: too much.*request id req-9") as caught:
        stage.play(stage.caller.call(READ, BOOKINGS))
    assert caught.value.errors[0].field == "page_size"


def test_who_am_i_reads_quotas() -> None:
    stage = Stage()
    quota = {"limit": 1200, "window_seconds": 60, "remaining": 1199, "resets_in_seconds": 60}
    stage.api_replies = [
        answer(
            200,
            {
                "client_id": "cli_1",
                "tenant": "acme",
                "environment": "development",
                "audience": "a",
                "allowed": ["bookings:read"],
                "token_expires_at": "2026-12-01T10:00:00Z",
                "secret_id": "sec_1",
                "secret_expires_at": None,
                "quotas": {"api": {"client": quota, "tenant": None}},
                "added_later": 1,
            },
        )
    ]
    me = stage.play(stage.caller.call(whoami_call(), WHOAMI))
    left = me.quotas["api"]["client"]
    assert left is not None
    assert left.remaining == 1199
    assert me.token_expires_at.utcoffset() is not None


def test_the_error_of_a_missing_booking_has_its_own_class() -> None:
    stage = Stage()
    stage.api_replies = [problem("booking_not_found")]
    with pytest.raises(BookingNotFoundError):
        stage.play(stage.caller.call(cancel(), BOOKINGS))


def test_list_targets_are_encoded() -> None:
    target = list_target("a+b&c=d é", {"booking_status": ["CONFIRMED", "WAITLISTED"], "page_size": 5}, 2)
    assert target == (
        "/v1/interactions:fetchContactBookings?external_id=a%2Bb%26c%3Dd%20%C3%A9"
        "&booking_status=CONFIRMED&booking_status=WAITLISTED&page_size=5&page_number=2"
    )


def page(ids: list[int], number: int, total: int, size: int = 2) -> BookingsPage:
    rows = [msgspec.convert(BOOKING | {"booking_id": f"bkg_{each}"}, Booking) for each in ids]
    return BookingsPage(rows, number, size, total)


def read_all(rows: list[int], *, drop_given: bool) -> tuple[list[str], int]:
    """List `rows` two at a time; `drop_given` takes each given booking out of the list, as cancelling does."""
    pager, given, fetched = Pager(), [], 0
    while not pager.done:
        fetched += 1
        assert fetched < 50
        found = rows[(pager.number - 1) * 2 : pager.number * 2]
        for booking in pager.take(page(found, pager.number, len(rows))) or ():
            given.append(booking.booking_id)
            if drop_given:
                rows.remove(int(booking.booking_id[4:]))
    return given, fetched


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_a_list_is_read_to_its_end_and_no_further(count: int) -> None:
    given, fetched = read_all(list(range(count)), drop_given=False)
    assert given == [f"bkg_{each}" for each in range(count)]
    assert fetched == max(1, (count + 1) // 2)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10])
def test_cancelling_what_is_listed_leaves_nothing_out(count: int) -> None:
    given, _ = read_all(list(range(count)), drop_given=True)
    assert given == [f"bkg_{each}" for each in range(count)]
