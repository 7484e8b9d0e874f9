"""Source: RFC 7009 §2, RFC 9700 §4.14, RFC 6819 §5.2.1.1.

Many revocations of one token at once, and calls beside them: one end, and none that takes it back.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.attacks.scene import LIST, REVOKE, Scene, bearer, on_stage


def test_a_token_ends_once_however_many_end_it(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        token = await scene.token(scene.victim)
        body = {name: scene.victim[name] for name in ("client_id", "client_secret")} | {"token": token}

        async def use() -> int:
            return (await scene.call("GET", f"{LIST}?external_id=c", headers=bearer(token))).status_code

        async def end() -> int:
            return (await scene.call("POST", REVOKE, data=body)).status_code

        statuses = await asyncio.gather(*(each() for _ in range(20) for each in (use, end)))
        assert set(statuses[1::2]) == {200}
        assert set(statuses[::2]) <= {200, 401}
        assert [await use() for _ in range(3)] == [401] * 3
        effects = [
            record.details["effect"]
            async for record in scene.it.platform.audit._all.newest_first("", refusals_only=False)
            if record.endpoint == "oauth:revoke"
        ]
        assert sorted(effects) == ["ended"] + ["none: ended before"] * 19
        assert len(scene.it.platform.revoked_tokens.ids) == 1

    on_stage(folder, story)
