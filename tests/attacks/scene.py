"""What the attacks share: a served platform with two tenants, and the one thing asked of every answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.tokens.running import Running, play

LIST = "/v1/interactions:fetchContactBookings"
CANCEL = "/v1/interactions:cancelContactBooking"
TOKEN, REVOKE, INTROSPECT = "/v1/oauth:token", "/v1/oauth:revoke", "/v1/oauth:introspect"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Scene:
    """A victim and an attacker, each with a client of its own."""

    it: Running
    victim: dict[str, Any]
    attacker: dict[str, Any]

    async def token(self, client: dict[str, Any], **changes: Any) -> str:
        return str((await self.it.ask(client, **changes)).json()["access_token"])

    async def call(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """Any request, sent as it stands."""
        answer = await self.it.http.request(method, path, **parts)
        assert answer.status_code != 500, answer.text
        assert "access-control-allow-origin" not in answer.headers
        return answer


def on_stage(folder: Path, story: Callable[[Scene], Awaitable[None]], **settings: Any) -> None:
    """Play one attack."""

    async def act(it: Running) -> None:
        victim, attacker = await it.add_client("acme"), await it.add_client("globex")
        await story(Scene(it, victim, attacker))

    play(folder, act, **settings)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def is_refused(answer: httpx.Response) -> bool:
    """Refused in words of ours: a status of the contract, and a code or an OAuth error."""
    document = answer.json()
    return 400 <= answer.status_code < 500 and bool(document.get("code") or document.get("error"))
