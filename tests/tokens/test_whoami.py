"""`GET /v1/oauth:whoami`: what a live token's holder may know, with no grant at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tokens.running import ACTOR, Running, play


async def whoami(it: Running, client: dict[str, Any], **changes: Any) -> dict[str, Any]:
    token = (await it.ask(client, **changes)).json()["access_token"]
    answer = await it.http.get("/v1/oauth:whoami", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_it_tells_all_of_the_contract(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", expires_in_seconds=86_400, token_quota="5/minute")
        found = await whoami(it, client)
        quotas = found.pop("quotas")
        assert found == {
            "client_id": client["client_id"],
            "tenant": "acme",
            "environment": "staging",
            "audience": client["audience"],
            "allowed": ["bookings:cancel", "bookings:read"],
            "token_expires_at": "2027-01-15T09:00:00Z",
            "secret_id": client["secret_id"],
            "secret_expires_at": "2027-01-16T08:00:00Z",
        }
        assert quotas["token"]["client"]["limit"] == 5
        assert quotas["token"]["client"]["remaining"] == 4

    play(folder, story)


def test_no_grant_is_needed_and_changes_show_at_once(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", allow=())
        assert (await whoami(it, client))["allowed"] == []
        assert (await whoami(it, client))["secret_expires_at"] is None
        token = (await it.ask(client)).json()["access_token"]
        await it.platform.tenancy.grants.allow(client["client_id"], ("bookings:read",), actor=ACTOR)
        await it.settle()
        answer = await it.http.get("/v1/oauth:whoami", headers={"Authorization": f"Bearer {token}"})
        assert answer.json()["allowed"] == ["bookings:read"]

    play(folder, story)


def test_a_token_is_needed(folder: Path) -> None:
    async def story(it: Running) -> None:
        answer = await it.http.get("/v1/oauth:whoami")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")

    play(folder, story)
