"""One worker's way to the counters that all workers share, in Redis or Valkey.

Promises that what gathers while one request is under way shares the next one, and that a server which is away or
silent delays a worker once, not at every call: from then on callers are told None at once, and the server is asked
again in the background. Must not know what is counted: that stands in `charging.lua` and `shared.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
from typing import Any, NamedTuple

import msgspec
import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

_log = structlog.get_logger("omnilab.quotas")

# A healthy server answers in well under a millisecond; what takes longer than this is better counted here.
ANSWER_SECONDS = 0.25
ASK_AGAIN_SECONDS = 0.5
_ITEMS_AT_ONCE = 256
_SCRIPT = importlib.resources.files("omnilab.quotas").joinpath("charging.lua").read_text("utf-8")
_FAILURES = (RedisError, OSError, TimeoutError)


class _Item(NamedTuple):
    keys: list[str]
    words: list[str | int]
    answer: asyncio.Future[list[int] | None]


class CounterServer:
    """url: `redis://…` or `rediss://…`; may hold a password, never printed. absences: how often it was found away."""

    def __init__(self, url: str) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            socket_keepalive=True,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),  # a repeated charge would count twice
        )
        self._waiting: list[_Item] = []
        self._sender: asyncio.Task[None] | None = None
        self._prober: asyncio.Task[None] | None = None
        self._script = ""
        self.absences = 0

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer when it was last asked."""
        return self._prober is not None

    async def start(self) -> None:
        """Learn whether the server answers, before callers have to."""
        try:
            await self._client.ping()
        except Exception as error:  # noqa: BLE001 - a worker starts without it, whatever it says
            self._found_away(error)

    async def close(self) -> None:
        """Let go of the connection."""
        for task in (self._sender, self._prober):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(*_FAILURES):
            await self._client.aclose()

    def ask(self, verb: str, keys: list[str], words: list[int]) -> asyncio.Future[list[int] | None]:
        """Have the script do one thing. Its answer, or None when nobody answers; nobody has to wait for it."""
        answer: asyncio.Future[list[int] | None] = asyncio.get_running_loop().create_future()
        if self._prober is not None:
            answer.set_result(None)
            return answer
        self._waiting.append(_Item(keys, [verb, len(keys), *words], answer))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())
        return answer

    async def _send(self) -> None:
        """One request after another until nothing waits."""
        while self._waiting:
            items, self._waiting = self._waiting[:_ITEMS_AT_ONCE], self._waiting[_ITEMS_AT_ONCE:]
            try:
                answers = msgspec.convert(await self._evaluate(items), list[list[int]])
                answered: list[tuple[_Item, list[int] | None]] = list(zip(items, answers, strict=True))
            except Exception as error:  # noqa: BLE001 - also what is no answer to this: nobody may wait for ever
                self._found_away(error)
                answered = [(item, None) for item in items + self._waiting]
                self._waiting = []
            for item, answer in answered:
                if not item.answer.done():
                    item.answer.set_result(answer)

    async def _evaluate(self, items: list[_Item]) -> list[Any]:
        keys = [key for item in items for key in item.keys]
        words = [word for item in items for word in item.words]
        try:
            if self._script:
                return list(await self._client.evalsha(self._script, len(keys), *keys, *words))
        except NoScriptError:
            pass  # it was started anew, and nothing was counted
        self._script = str(await self._client.script_load(_SCRIPT))
        return list(await self._client.evalsha(self._script, len(keys), *keys, *words))

    def _found_away(self, error: Exception) -> None:
        if self._prober is None:
            self.absences += 1
            self._prober = asyncio.create_task(self._probe())
            defect = None if isinstance(error, _FAILURES) else error
            _log.warning("quota_store_away", reason=type(error).__name__, exc_info=defect)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            with contextlib.suppress(Exception):  # whatever it is, it is asked again
                await self._client.ping()
                self._prober = None
                _log.warning("quota_store_back")
                return
