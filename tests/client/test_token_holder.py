"""Which token is in use, whatever order things happen in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omnilab.client import (
    ConfigurationError,
    NoAnswerError,
    RateLimitedError,
    TokenRefusedError,
    UnavailableError,
)
from omnilab.client.effects import Fly, Send
from omnilab.client.token import AccessToken
from tests.client.by_hand import BROKEN, Stage, answer, granted, oauth


def get(stage: Stage, since: int = 0) -> AccessToken:
    deadline = stage.clock.seconds + stage.settings.total_seconds
    token: AccessToken = stage.play(stage.tokens.get(deadline, since=since))
    return token


def test_a_token_serves_until_four_fifths_of_its_life() -> None:
    stage = Stage()
    for seconds in (0, 1000, 2000, 2879):
        stage.clock.seconds = 1000.0 + seconds
        assert get(stage).reveal() == "token-1"
    assert (stage.token_requests, stage.background) == (1, [])


@pytest.mark.parametrize(("luck", "due"), [(0.0, 2700), (0.5, 2880), (0.999999, 3060)])
def test_the_moment_of_renewal_is_spread(luck: float, due: float) -> None:
    stage = Stage()
    stage.clock.luck = luck
    token = get(stage)
    assert token.renew_at - token.requested_at == pytest.approx(due, abs=1)


def test_it_is_renewed_in_the_background_while_the_old_one_serves() -> None:
    stage = Stage()
    get(stage)
    stage.clock.seconds += 2900
    assert get(stage).reveal() == "token-1"
    assert get(stage).reveal() == "token-1"
    assert (len(stage.background), stage.token_requests) == (1, 1)
    stage.land(stage.background.pop())
    assert get(stage).reveal() == "token-2"
    assert stage.token_requests == 2


def test_the_age_of_a_token_counts_from_before_it_was_asked_for() -> None:
    stage = Stage()

    def slow() -> object:
        stage.clock.seconds += 20
        return granted("token-1", 3600)

    stage.token_replies = [slow]  # type: ignore[list-item]
    token = get(stage)
    assert token.expires_at == 1000 + 3600
    assert token.seconds_left(stage.clock) == 3580


def test_during_an_outage_the_valid_token_serves_and_renewal_is_tried_again_later() -> None:
    stage = Stage()
    get(stage)
    stage.token_replies = [BROKEN] * 10_000
    stage.clock.seconds += 2900
    served = 0
    while stage.clock.seconds < 1000 + 3600:
        assert get(stage).reveal() == "token-1"
        served += 1
        while stage.background:
            stage.land(stage.background.pop())
        stage.clock.seconds += 1
    assert served > 20
    stage.token_replies.clear()
    stage.clock.seconds = 1000 + 3600
    assert get(stage).reveal() != "token-1"


def test_a_refused_renewal_does_not_end_the_token_that_serves() -> None:
    stage = Stage()
    get(stage)
    stage.token_replies = [oauth("secret_expired")] * 3
    stage.clock.seconds += 2900
    get(stage)
    stage.land(stage.background.pop())
    assert get(stage).reveal() == "token-1"
    assert stage.background == []  # not at once again
    stage.clock.seconds += 3
    assert get(stage).reveal() == "token-1"
    assert len(stage.background) == 1


def test_a_renewal_that_was_never_run_stops_nobody() -> None:
    stage = Stage()
    get(stage)
    stage.clock.seconds += 2900
    get(stage)
    lost = stage.background.pop()  # its thread died, or its loop was closed, without a word
    stage.clock.seconds += 700  # expired, and the flight's own time was over long ago
    assert get(stage).reveal() == "token-2"
    lost.landed()
    assert get(stage).reveal() == "token-2"


def test_a_dead_token_is_given_up_once_for_all_who_held_it() -> None:
    stage = Stage()
    first = get(stage)
    assert stage.tokens.give_up(first)
    second = get(stage, since=first.epoch + 1)
    assert stage.tokens.give_up(first)  # a straggler's 401 comes later
    assert get(stage, since=first.epoch + 1) is second
    assert stage.token_requests == 2


def test_a_slow_renewal_cannot_bring_back_what_was_revoked_meanwhile() -> None:
    stage = Stage()
    first = get(stage)
    stage.clock.seconds += 2900
    get(stage)
    slow = stage.background.pop()
    effect = slow.flow.send(None)
    assert isinstance(effect, Send)  # on its way, and the service has already answered it in thought
    assert stage.tokens.give_up(first)
    fresh = get(stage, since=first.epoch + 1)
    with pytest.raises(StopIteration):
        slow.flow.send(granted("from-before-the-revocation"))
    slow.landed()
    assert get(stage) is fresh
    assert fresh.reveal() != "from-before-the-revocation"


def test_who_waits_for_an_outdated_flight_goes_on_with_the_new_one() -> None:
    stage = Stage()
    first = get(stage)
    stage.clock.seconds = first.expires_at
    waiting = stage.tokens.get(stage.clock.seconds + 30)
    fly = waiting.send(None)
    assert isinstance(fly, Fly)
    assert isinstance(fly.flow.send(None), Send)
    wait = waiting.send(True)
    assert stage.tokens.give_up(first)
    assert wait.landing.done()
    assert stage.play_on(waiting, True).reveal() == "token-2"
    fly.flow.close()
    fly.landed()
    assert get(stage).reveal() == "token-2"


def test_a_renewal_that_brought_a_token_of_the_dead_ones_epoch_goes_with_it() -> None:
    """Asked for before anybody knew of the revocation: it may have died with the other."""
    stage = Stage()
    first = get(stage)
    stage.clock.seconds += 2900
    get(stage)
    stage.land(stage.background.pop())
    assert stage.tokens.give_up(first)
    assert get(stage, since=first.epoch + 1).reveal() == "token-3"


def test_a_token_that_lacks_a_grant_serves_other_calls_until_the_new_one_is_there() -> None:
    stage = Stage()
    first = get(stage)
    assert stage.tokens.give_up(first, dead=False)
    assert get(stage).reveal() == "token-1"
    assert get(stage, since=first.epoch + 1).reveal() == "token-2"
    assert get(stage).reveal() == "token-2"


def test_without_a_token_a_passing_outage_is_sat_out() -> None:
    stage = Stage()
    stage.token_replies = [BROKEN, answer(503, {}), oauth("token_quota_exceeded", retry_after="4")]
    assert get(stage).reveal() == "token-4"
    assert stage.pauses[-1] >= 4


def test_without_a_token_a_long_outage_ends_with_what_it_was() -> None:
    stage = Stage()
    stage.token_replies = [BROKEN] * 1000
    with pytest.raises(NoAnswerError):
        get(stage)
    stage.token_replies = [oauth("temporarily_unavailable", retry_after="600")]
    with pytest.raises(UnavailableError):
        get(stage)


def test_a_retry_after_of_the_token_service_is_obeyed_by_later_calls_too() -> None:
    stage = Stage()
    stage.token_replies = [oauth("token_quota_exceeded", retry_after="45")]
    for _ in range(50):
        with pytest.raises(RateLimitedError) as caught:
            get(stage)
    assert caught.value.code == "token_quota_exceeded"
    assert stage.token_requests == 1
    stage.clock.seconds += 20
    assert get(stage).reveal() == "token-2"
    assert stage.clock.seconds >= 1045


def test_refused_credentials_are_not_hammered_on_the_token_service() -> None:
    stage = Stage()
    stage.token_replies = [oauth("client_authentication_failed")] * 100
    for _ in range(600):
        with pytest.raises(TokenRefusedError) as caught:
            get(stage)
        stage.clock.seconds += 0.1
    assert caught.value.code == "client_authentication_failed"
    assert caught.value.request_id == "req-2"
    assert stage.token_requests < 8  # 1, 2, 4 … 30 s apart


def test_a_replaced_secret_is_tried_at_once(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old-secret\n")
    environ = {
        "OMNILAB_CLIENT_ID": "cli_1",
        "OMNILAB_CLIENT_SECRET_FILE": str(file),
        "OMNILAB_AUDIENCE": "a",
        "OMNILAB_BASE_URL": "https://x.example",
    }
    stage = Stage(environ=environ)
    stage.token_replies = [oauth("secret_revoked")]
    with pytest.raises(TokenRefusedError):
        get(stage)
    file.write_text("new-secret\n")
    assert get(stage).reveal() == "token-2"
    bodies = [send.body.reveal() for send in stage.sent if send.body is not None]
    assert [b"old-secret" in bodies[0], b"new-secret" in bodies[1]] == [True, True]


def test_a_secret_file_that_is_away_for_a_moment_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("the-secret")
    stage = Stage(client_secret_file=file, environ={"OMNILAB_BASE_URL": "https://x"}, client_id="c", audience="a")
    file.unlink()
    assert get(stage).reveal() == "token-1"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Stage(client_secret_file=file, environ={"OMNILAB_BASE_URL": "https://x"}, client_id="c", audience="a")


@pytest.mark.parametrize(
    "body",
    [
        {"access_token": "a b", "expires_in": 60},
        {"access_token": "", "expires_in": 60},
        {"access_token": "x\n", "expires_in": 60},
        {"access_token": "x", "expires_in": 0},
        {"access_token": "x", "expires_in": 60, "token_type": "DPoP"},
        {"access_token": 5, "expires_in": 60},
        [],
    ],
)
def test_an_answer_that_brings_no_usable_token_is_an_error(body: object) -> None:
    stage = Stage()
    stage.token_replies = [answer(200, body)]
    with pytest.raises(Exception, match="answer_unreadable"):
        get(stage)


def test_what_is_sent_to_the_token_service_is_the_contracts_json() -> None:
    stage = Stage()
    get(stage)
    send = stage.sent[0]
    assert (send.method, send.target, send.token) == ("POST", "/v1/oauth:token", None)
    assert send.body is not None
    assert json.loads(send.body.reveal()) == {
        "client_id": "cli_1",
        "client_secret": "omni_dev_thesecret",
        "audience": "urn:omnilab:development:acme",
        "grant_type": "client_credentials",
    }
