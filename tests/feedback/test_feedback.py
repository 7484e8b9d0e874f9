"""Feedback from outside: hostile calls, and bounds on both databases. A reader's click is in tests/helpcenter."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from omnilab.errors import LimitError
from omnilab.feedback.service import PER_ADDRESS_PER_MINUTE, PER_MINUTE, FeedbackService
from tests.conftest import Served
from tests.harness.databases import ENGINES
from tests.tokens.running import running


@pytest.mark.parametrize(
    "sent",
    [
        {"page": "x"},
        {"page": "x", "helpful": "yes"},
        {"page": "../x", "helpful": True},
        {"page": "x", "helpful": True, "comment": "x" * 1001},
        {"page": "x", "helpful": True, "more": 1},
        [],
    ],
)
def test_what_is_no_feedback_is_refused(served: Served, sent: object) -> None:
    answer = served.server.http.post("/docs/feedback", json=sent)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_refusals_leave_no_record_either(tmp_path: Path) -> None:
    """Nobody is bounded in being refused, so what is kept of it would have no bound."""

    async def story() -> None:
        async with running(tmp_path) as it:
            answers = []
            for _ in range(PER_ADDRESS_PER_MINUTE + 3):
                answers.append(await it.http.post("/docs/feedback", json={"page": "x", "helpful": True}))
                answers.append(await it.http.post("/docs/feedback", json=[]))
            assert {answer.status_code for answer in answers} == {200, 400, 429}
            for answer in answers:
                assert await it.platform.audit.find(answer.headers["x-request-id"]) == []

    asyncio.run(story())


def test_a_comment_is_one_line_for_people_and_holds_no_credential(served: Served) -> None:
    sent = {"page": "x", "helpful": True, "comment": "two\nlines \u202e and\u2028more"}
    assert served.server.http.post("/docs/feedback", json=sent).status_code == 200
    assert "two lines and more\n" in served.omnilab.run("feedback", "list").stdout


def test_what_slips_past_the_reader_is_masked(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as it:
            client = await it.add_client("acme")
            said = f"I sent {client['client_secret']} and it failed"
            await it.platform.feedback.keep("x", helpful=False, comment=said, address="192.0.2.1")
            (kept,) = await it.platform.feedback.list()
            assert client["client_secret"] not in str(kept["comment"])
            assert str(kept["comment"]).startswith("I sent ")

    asyncio.run(story())


def test_machines_and_other_sites_leave_nothing(served: Served) -> None:
    http = served.server.http
    before = served.omnilab.cli("feedback", "list")["feedback"]
    filled = {"page": "x", "helpful": True, "comment": "buy", "website": "https://example.com"}
    assert http.post("/docs/feedback", json=filled).status_code == 200
    other = http.post("/docs/feedback", json={"page": "x", "helpful": True}, headers={"Sec-Fetch-Site": "cross-site"})
    assert other.status_code == 400
    assert served.omnilab.cli("feedback", "list")["feedback"] == before


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("engine", ENGINES, indirect=True)
def test_it_is_bounded_a_minute_and_forgotten_after_400_days(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as it:
            service = FeedbackService(it.platform.db, it.clock)
            for _ in range(PER_ADDRESS_PER_MINUTE):
                await service.keep("errors", helpful=True, comment="", address="192.0.2.1")
            with pytest.raises(LimitError) as caught:
                await service.keep("errors", helpful=True, comment="", address="192.0.2.1")
            assert 1 <= (caught.value.retry_after_seconds or 0) <= 60
            for number in range(PER_MINUTE - PER_ADDRESS_PER_MINUTE):
                await service.keep("errors", helpful=False, comment="", address=f"198.51.100.{number}")
            with pytest.raises(LimitError):
                await service.keep("errors", helpful=True, comment="", address="203.0.113.9")
            assert len(await service.list()) == PER_MINUTE
            it.clock.forward(60)
            await service.keep("versioning", helpful=True, comment=" good ", address="192.0.2.1")
            assert [each["page"] for each in await service.list(at_most=2)] == ["versioning", "errors"]
            it.clock.forward(400 * 86_400)
            await service.prune()
            assert [each["page"] for each in await service.list()] == ["versioning"]

    asyncio.run(story())
