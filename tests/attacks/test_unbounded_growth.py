"""Source: OWASP API 2023 API4, RFC 9449 §11.1 (by analogy).

Every store in memory that a caller can add to has a bound; here each is fed more than it keeps.
"""

from __future__ import annotations

from pathlib import Path

from omnilab.audit.service.tripwires import Tripwires
from tests.attacks.scene import REVOKE, TOKEN, Scene, on_stage


def test_a_thousand_made_up_things_leave_little_behind(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        credentials = {name: scene.attacker[name] for name in ("client_id", "client_secret")}
        for number in range(300):
            made_up = {"client_id": f"cli_{number}", "client_secret": "x", "grant_type": "client_credentials"}
            await scene.call("POST", TOKEN, json=made_up)
            await scene.call("POST", REVOKE, data=credentials | {"token": f"made.up.{number}"})
        assert scene.it.platform.revoked_tokens.ids == {}
        assert len(scene.it.platform.guard._cache) == 0
        assert len(scene.it.platform.snapshot) == 2

    on_stage(folder, story)


def test_ended_tokens_are_forgotten_when_they_would_have_ended(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        credentials = {name: scene.attacker[name] for name in ("client_id", "client_secret")}
        for _ in range(20):
            token = await scene.token(scene.attacker)
            await scene.call("POST", REVOKE, data=credentials | {"token": token})
        revoked = scene.it.platform.revoked_tokens
        assert len(revoked.ids) == 20
        scene.it.clock.forward(3600 + 120)
        await revoked.sweep(scene.it.platform.db)
        assert revoked.ids == {}

    on_stage(folder, story)


def test_tripwires_remember_so_many_and_no_more() -> None:
    tripwires = Tripwires(remembered=100)
    for number in range(1000):
        tripwires.marks("secret_revoked", proved=True, whose=f"sec_{number}", address_group="a", now_ms=number)
    assert len(tripwires._told) == 100
