"""Source: RFC 7239 §8, OWASP API 2023 API8, RFC 9700 §4.15.

Headers that say where a request came from or whom it was for: without a trusted proxy they are only text.
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.scene import LIST, TOKEN, Scene, bearer, on_stage

_LIES = {
    "X-Forwarded-For": "203.0.113.99",
    "X-Real-IP": "203.0.113.99",
    "Forwarded": "for=203.0.113.99;host=acme.api.example.com;proto=https",
    "X-Forwarded-Host": "acme.api.example.com",
    "X-Forwarded-Proto": "https",
    "X-Original-URL": "/healthz",
    "X-Rewrite-URL": "/healthz",
    "X-Client-Cert": "trust me",
    "Client-Cert": ":AAAA:",
}


def test_the_peer_counts_and_nothing_else(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        token = await scene.token(scene.attacker)
        answer = await scene.call("GET", f"{LIST}?external_id=c", headers=bearer(token) | _LIES)
        assert answer.status_code == 200
        await scene.it.platform.audit._buffer.flush()
        record = await scene.it.record_of(answer)
        assert (record.address, record.tenant) == ("192.0.2.7", "globex")

    on_stage(folder, story)


def test_a_guesser_cannot_change_its_address_to_guess_on(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        body = {"client_id": scene.victim["client_id"], "client_secret": "x", "grant_type": "client_credentials"}
        statuses = [
            (await scene.call("POST", TOKEN, json=body, headers={"X-Forwarded-For": f"203.0.113.{n}"})).status_code
            for n in range(6)
        ]
        assert statuses == [401] * 4 + [429] * 2

    on_stage(folder, story, failed_authentications_per_client_per_minute=4)
