"""Tripwires become events: named, with a severity, once for a happening, and listed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from omnilab.app import create_app
from omnilab.audit.model.events import EVENTS, SEVERITIES
from omnilab.audit.service import RecordQuery
from omnilab.audit.service.tripwires import QUIET_MS, Tripwires
from omnilab.crypto.client_secret import new_client_secret
from tests.conftest import Served
from tests.tokens.conftest import folder, made_once
from tests.tokens.running import ACTOR, Running, play

__all__ = ["folder", "made_once"]


def events(served: Served, *words: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = served.omnilab.cli("audit", "list", *words)["records"]
    return records


def test_every_tripwire_leaves_one_event_however_often_it_is_touched(served: Served) -> None:
    server, omnilab = served.server, served.omnilab
    revoked = omnilab.cli("secrets", "add", served.client.client_id, "--label", "old")
    exposed = omnilab.cli("secrets", "add", served.client.client_id, "--label", "web")
    omnilab.cli("secrets", "revoke", served.client.client_id, revoked["secret_id"])
    browser = {"Origin": "https://shop.example"}
    body = {"client_id": served.client.client_id, "grant_type": "client_credentials"}
    for _ in range(3):
        assert server.token_answer(served.client, client_secret=revoked["client_secret"]).status_code == 401
        other = new_client_secret("production").reveal()
        assert server.token_answer(served.client, client_secret=other).status_code == 401
        for secret in (exposed["client_secret"], "wrong"):
            asked = server.http.post("/v1/oauth:token", json=body | {"client_secret": secret}, headers=browser)
            assert asked.status_code == 400
    found = events(served, "--events")
    assert sorted((each["details"]["event"], each["details"]["severity"]) for each in found) == [
        ("request.from_browser.v1", "low"),
        ("secret.exposed.v1", "high"),
        ("secret.revoked_in_use.v1", "high"),
        ("secret.wrong_environment.v1", "medium"),
    ]
    by_name = {each["details"]["event"]: each for each in found}
    assert by_name["secret.revoked_in_use.v1"]["secret_id"] == revoked["secret_id"]
    assert by_name["secret.revoked_in_use.v1"]["address"] == "127.0.0.1"
    assert by_name["secret.exposed.v1"]["secret_id"] == exposed["secret_id"]
    assert by_name["secret.wrong_environment.v1"]["details"]["claimed_client"] == served.client.client_id
    assert {each["details"]["severity"] for each in events(served, "--severity", "medium")} == {"medium", "high"}
    assert len(events(served, "--severity", "high", "--tenant", "acme")) == 2
    assert "secret.exposed.v1" in omnilab.run("audit", "list", "--events").stdout
    assert omnilab.run("audit", "list", "--events", "--since", "2099-01-01T00:00:00Z").stdout.strip() == "No events."


def test_an_address_that_never_used_the_client_before_is_news_once(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme")
        app, _ = create_app(it.platform)

        async def use(address: str) -> list[str]:
            """Get a token from there; returns the events so far."""
            transport = httpx.ASGITransport(app, client=(address, 40000))
            async with httpx.AsyncClient(transport=transport, base_url=str(it.http.base_url)) as http:
                body = {name: client[name] for name in ("client_id", "client_secret", "audience")}
                answer = await http.post("/v1/oauth:token", json=body | {"grant_type": "client_credentials"})
                assert answer.status_code == 200
            await it.platform.secret_use.flush()
            found = await it.platform.audit.list_records(RecordQuery(severity="medium"))
            return [str(each.address) for each in found]

        assert await use("192.0.2.7") == []  # the first is no news
        assert await use("192.0.2.7") == []
        assert await use("198.51.100.9") == ["198.51.100.9"]
        assert await use("198.51.100.9") == ["198.51.100.9"]
        assert sorted(await use("2001:db8::1")) == ["198.51.100.9", "2001:db8::/64"]
        assert len(await use("2001:db8::2")) == 2
        (newest, _) = await it.platform.audit.list_records(RecordQuery(severity="medium", tenant="acme"))
        assert (newest.client_id, newest.secret_id) == (client["client_id"], client["secret_id"])
        assert newest.details == {"event": "secret.new_address.v1", "severity": "medium"}
        added = await it.platform.tenancy.secrets.add(client["client_id"], actor=ACTOR)
        await it.settle()
        client["client_secret"] = added.document()["client_secret"]
        assert len(await use("192.0.2.7")) == 2  # known from the client's other secret

    play(folder, story)


@pytest.mark.parametrize("name", EVENTS)
def test_names_are_ready_for_a_webhook(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+\.v1", name)
    assert EVENTS[name].severity in SEVERITIES


def test_the_same_is_told_again_after_an_hour_and_what_is_remembered_is_bounded() -> None:
    tripwires = Tripwires(remembered=2)

    def told(whose: str, at: int, address: str = "192.0.2.7") -> bool:
        marks = tripwires.marks("secret_revoked", proved=True, whose=whose, address_group=address, now_ms=at)
        return bool(marks)

    assert [told("a", 0), told("a", 1), told("a", QUIET_MS - 1), told("a", QUIET_MS)] == [True, False, False, True]
    assert [told("a", QUIET_MS, "192.0.2.8"), told("b", QUIET_MS)] == [True, True]
    assert told("a", QUIET_MS + 1) is True  # forgotten: two others came
    assert len(tripwires._told) == 2
    assert tripwires.marks("quota_exceeded", proved=True, whose="a", address_group="x", now_ms=0) == {}
