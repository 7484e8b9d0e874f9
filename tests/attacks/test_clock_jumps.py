"""Source: RFC 7519 §4.1.4, RFC 9068 §4, CWE-367.

The clock jumps forward and back: what has ended stays ended where it was ended, and nothing lives longer than it says.
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.scene import LIST, REVOKE, Scene, bearer, on_stage


def test_a_token_that_was_ended_does_not_come_back_with_the_time(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        token = await scene.token(scene.victim)
        body = {name: scene.victim[name] for name in ("client_id", "client_secret")} | {"token": token}
        assert (await scene.call("POST", REVOKE, data=body)).status_code == 200

        async def code() -> str:
            answer = await scene.call("GET", f"{LIST}?external_id=c", headers=bearer(token))
            return str(answer.json().get("code"))

        assert await code() == "token_revoked"
        scene.it.clock.forward(3600 + 30)
        await scene.it.platform.revoked_tokens.sweep(scene.it.platform.db)
        assert await code() == "token_expired"
        scene.it.clock.forward(-600)  # within the minute that a row outlives its token
        assert await code() == "token_revoked"

    on_stage(folder, story)


def test_a_token_from_the_future_is_none(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.it.clock.forward(7200)
        token = await scene.token(scene.victim)
        scene.it.clock.forward(-7200)
        answer = await scene.call("GET", f"{LIST}?external_id=c", headers=bearer(token))
        assert answer.status_code == 401

    on_stage(folder, story)
