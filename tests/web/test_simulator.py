"""`OmniLab-Simulate` from outside: every error can be tried in development, and nowhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from omnilab.web import simulator
from tests.conftest import Served
from tests.tokens.running import running

LIST = "/v1/interactions:fetchContactBookings"
CANCEL = "/v1/interactions:cancelContactBooking"
TOKEN = "/v1/oauth:token"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ("401", 401, "token_expired"),
        ("429", 429, "quota_exceeded"),
        ("503", 503, "temporarily_unavailable"),
        ("slot_full", 409, "slot_full"),
        ("teapot", 400, "request_malformed"),
    ],
)
def test_a_call_answers_as_it_is_told(served: Served, asked: str, status: int, code: str) -> None:
    answer = served.server.http.get(LIST, params={"external_id": "contact-1"}, headers={"OmniLab-Simulate": asked})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [("401", 401, "invalid_client"), ("429", 429, "slow_down"), ("503", 503, "temporarily_unavailable")],
)
def test_the_token_call_answers_in_its_own_form(served: Served, asked: str, status: int, error: str) -> None:
    answer = served.server.http.post(TOKEN, json={}, headers={"OmniLab-Simulate": asked})
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_a_simulated_cancel_cancels_nothing(served: Served) -> None:
    before = served.omnilab.cli("bookings", "list", "--tenant", "acme", "--external-id", "contact-1")
    body = {"external_id": "contact-1", "booking_id": "bkg_00000001"}
    for asked in ("401", "429", "503", "slot_full"):
        served.server.http.post(CANCEL, json=body, headers={"OmniLab-Simulate": asked})
    assert served.omnilab.cli("bookings", "list", "--tenant", "acme", "--external-id", "contact-1") == before


def test_a_timeout_outlasts_clients_and_then_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert simulator.TIMEOUT_SECONDS > 30

    async def story() -> None:
        async with running(tmp_path, environment="development", tenant_domain=None) as it:
            asked = {"OmniLab-Simulate": "timeout"}
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(it.http.get("/v1/oauth:whoami", headers=asked), 0.2)
            monkeypatch.setattr(simulator, "TIMEOUT_SECONDS", 0.01)
            assert (await it.http.get("/v1/oauth:whoami", headers=asked)).status_code == 503

    asyncio.run(story())


def test_the_record_says_that_it_was_simulated(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, environment="development", tenant_domain=None) as it:
            answer = await it.http.post(TOKEN, json={}, headers={"OmniLab-Simulate": "401"})
            assert (await it.record_of(answer)).reason == "simulated by OmniLab-Simulate: 401"

    asyncio.run(story())


def test_outside_development_the_header_is_ignored(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as it:
            client = await it.add_client("acme")
            for asked in ("401", "503", "timeout", "teapot"):
                assert (await it.ask(client, headers={"OmniLab-Simulate": asked})).status_code == 200

    asyncio.run(story())
