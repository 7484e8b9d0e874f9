"""Source: OWASP API 2023 API2 and API4, RFC 6819 §4.3.4 and §5.1.4.2.

Guessing is bounded, and the bound cannot be turned against the one whose secret is guessed at.
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.scene import INTROSPECT, REVOKE, TOKEN, Scene, on_stage


def test_the_owner_of_the_secret_gets_in_whatever_others_tried(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        for path in (TOKEN, REVOKE, INTROSPECT) * 10:
            body = {"client_id": scene.victim["client_id"], "client_secret": "guess", "token": "x"}
            body |= {"grant_type": "client_credentials"}
            assert (await scene.call("POST", path, data=body)).status_code in (401, 429)
        assert (await scene.it.ask(scene.victim)).status_code == 200

    on_stage(folder, story, failed_authentications_per_client_per_minute=3)


def test_the_three_doors_share_one_bound(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        body = {"client_id": scene.victim["client_id"], "client_secret": "guess", "token": "x"}
        body |= {"grant_type": "client_credentials"}
        statuses = [(await scene.call("POST", path, data=body)).status_code for path in (TOKEN, REVOKE, INTROSPECT) * 2]
        assert statuses == [401, 401, 401, 429, 429, 429]

    on_stage(folder, story, failed_authentications_per_client_per_minute=3)
