"""`OmniLabAuth` in people's own httpx clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from omnilab.client import OmniLabAuth, TokenRefusedError
from omnilab.client.testing import FakeOmniLab

WHOAMI = "/v1/oauth:whoami"


@pytest.fixture
def fake() -> FakeOmniLab:
    return FakeOmniLab()


def client_of(fake: FakeOmniLab, auth: OmniLabAuth | None = None) -> httpx.Client:
    return httpx.Client(base_url=fake.base_url, auth=auth or fake.auth(), transport=fake.transport)


def test_calls_carry_the_token(fake: FakeOmniLab) -> None:
    with client_of(fake) as http:
        assert [http.get(WHOAMI).status_code for _ in range(3)] == [200] * 3
    assert fake.tokens.issued == 1


def test_a_refused_token_is_renewed_once(fake: FakeOmniLab) -> None:
    with client_of(fake) as http:
        http.get(WHOAMI)
        fake.revoke_tokens()
        assert http.get(WHOAMI).status_code == 200
    assert fake.tokens.issued == 2


def test_the_retry_sends_the_body_again(fake: FakeOmniLab) -> None:
    booking = fake.add_booking("contact-1")
    order = {"external_id": "contact-1", "booking_id": booking.booking_id}
    with client_of(fake) as http:
        http.get(WHOAMI)
        fake.revoke_tokens()
        answer = http.post("/v1/interactions:cancelContactBooking", json=order)
    assert answer.json()["booking_status"] == "CANCELLED"


def test_a_body_that_is_gone_is_not_sent_again(fake: FakeOmniLab) -> None:
    order = b'{"external_id": "contact-1", "booking_id": "bkg_1"}'

    def stream() -> Iterator[bytes]:
        yield order

    headers = {"Content-Type": "application/json", "Content-Length": str(len(order))}
    with fake.serve() as environ, httpx.Client(base_url=fake.base_url, auth=OmniLabAuth(environ=environ)) as http:
        http.get(WHOAMI)
        fake.revoke_tokens()
        answer = http.post("/v1/interactions:cancelContactBooking", content=stream(), headers=headers)
        assert answer.status_code == 401
        assert http.get(WHOAMI).status_code == 200  # the next call has the new token all the same


def test_hopeless_refusals_are_passed_on(fake: FakeOmniLab) -> None:
    with client_of(fake) as http:
        for code in ("audience_mismatch", "endpoint_not_enabled"):
            fake.answer_next(code)
            assert http.get(WHOAMI).json()["code"] == code
    assert fake.tokens.issued == 1


def test_a_token_that_predates_a_grant_is_renewed_once(fake: FakeOmniLab) -> None:
    fake.answer_next("token_predates_grant")
    with client_of(fake) as http:
        assert http.get(WHOAMI).status_code == 200
    assert fake.tokens.issued == 2


def test_it_works_for_tasks_and_streams(fake: FakeOmniLab) -> None:
    auth = fake.auth()

    async def main() -> list[int]:
        async with httpx.AsyncClient(base_url=fake.base_url, auth=auth, transport=fake.transport) as http:
            first = await http.get(WHOAMI)
            fake.revoke_tokens()
            async with http.stream("GET", WHOAMI) as streamed:
                await streamed.aread()
            return [first.status_code, streamed.status_code]

    assert asyncio.run(main()) == [200, 200]
    assert fake.tokens.issued == 2


def test_no_token_is_an_error_of_the_sdk(fake: FakeOmniLab) -> None:
    fake.client_secret = "changed"
    auth = OmniLabAuth(environ=fake.environ | {"OMNILAB_CLIENT_SECRET": "other"}, transport=fake.transport)
    with client_of(fake, auth) as http, pytest.raises(TokenRefusedError, match="client_authentication_failed"):
        http.get(WHOAMI)
    assert "cli_" in repr(auth)
