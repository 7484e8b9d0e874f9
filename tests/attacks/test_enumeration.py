"""Source: OWASP API 2023 API2, RFC 6819 §4.4.1.4 and §5.1.4.2.3, CWE-204 and CWE-208.

Which clients exist is told neither by the answer nor by the work behind it. No stopwatch decides here: the steps that
take time (digests, questions to the database) are counted instead.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from omnilab.tokens.service import issuing
from tests.attacks.scene import Scene, on_stage
from tests.tokens.running import ACTOR

_VARYING = ("x-request-id",)
# What the platform does in the background meanwhile runs in contexts of its own, and does not count.
_asking: ContextVar[bool] = ContextVar("asking", default=False)


def test_strangers_cost_and_learn_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(scene: Scene) -> None:
        tenancy = scene.it.platform.tenancy
        disabled = await scene.it.add_client("acme")
        await tenancy.clients.disable(disabled["client_id"], actor=ACTOR)
        suspended = await scene.it.add_client("initech")
        await tenancy.tenants.suspend("initech", actor=ACTOR)
        await scene.it.settle()
        await _no_polls(monkeypatch, scene.it.platform.db)
        work: Counter[str] = Counter()
        _count(monkeypatch, issuing, "secret_digest", work)
        for name in ("fetch", "fetch_one"):
            _count(monkeypatch, scene.it.platform.db, name, work)
        told, cost = [], []
        wrong = scene.attacker["client_secret"]
        for client_id in (
            "cli_AAAAAAAAAAAAAAAAAAAAAA",
            "no-id-at-all",
            scene.victim["client_id"],
            disabled["client_id"],
            suspended["client_id"],
        ):
            work.clear()
            await scene.it.platform.feed.catch_up()  # each begins with a lease of the same age
            _asking.set(True)
            answer = await scene.it.ask(scene.victim, client_id=client_id, client_secret=wrong)
            _asking.set(False)
            headers = {name: text for name, text in answer.headers.items() if name not in _VARYING}
            told.append((answer.status_code, headers, answer.json() | {"request_id": ""}))
            cost.append(dict(work))
        assert told == [told[0]] * len(told)
        assert told[0][0] == 401
        assert cost == [cost[0]] * len(cost)
        assert cost[0]["secret_digest"] >= 1
        assert sum(cost[0].values()) > cost[0]["secret_digest"]  # the database was asked, and that was counted

    on_stage(folder, story, failed_authentications_per_client_per_minute=None)


async def _no_polls(monkeypatch: pytest.MonkeyPatch, db: Any) -> None:
    """No more reading of the feed in the background: who asks at that moment reads for both, which would be counted."""
    reached = asyncio.Event()

    async def wait_for_ever(seconds: float) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(db, "wait_for_change", wait_for_ever)
    await reached.wait()


def _count(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, work: Counter[str]) -> None:
    """Count the calls of a function, and let them through."""
    real = getattr(where, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        if _asking.get():
            work[name] += 1
        return real(*arguments, **named)

    monkeypatch.setattr(where, name, counted)
