"""What goes into one commit, telling everybody how it ended, and counting it. The same for every engine."""

from __future__ import annotations

import asyncio
from typing import Any

from omnilab.errors import UnavailableError
from omnilab.storage.database import Sink, Unit

Waiting = tuple[Unit[Any], asyncio.Future[Any]]


class SharedFuture(asyncio.Future[None]):
    """Many wait for one commit, or one read; one of them being cancelled must not cancel the wait of the others."""

    def cancel(self, msg: Any | None = None) -> bool:  # noqa: ARG002 - asyncio's name and shape
        return False


class Batch:
    """Units with a future each, changes before others, and items for sinks that share the future `durable`."""

    __slots__ = ("_written", "changes", "durable", "items", "units")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.changes: list[Waiting] = []
        self.units: list[Waiting] = []
        self.items: dict[Sink, list[Any]] = {}
        self.durable = SharedFuture(loop=loop)
        self._written: dict[Sink, list[Any]] = {}

    @property
    def all_units(self) -> list[Waiting]:
        """In the order in which they run."""
        return self.changes + self.units if self.changes else self.units

    @property
    def is_one_statement(self) -> bool:
        """Whether all of it is what one sink writes in one statement."""
        if self.units or self.changes or len(self.items) != 1:
            return False
        return next(iter(self.items)).is_one_statement

    def begin(self) -> dict[Sink, list[Any]]:
        """What sinks have to write in one attempt at this commit; units add to it as they run."""
        self._written = {sink: list(items) for sink, items in self.items.items()}
        return self._written

    def tell(self, *, committed: bool | None) -> None:
        """Tell the sinks how the attempt ended; None: nobody knows."""
        for sink in self._written:
            sink.settled(committed)


class Commits:
    """The commits of one process: those that are waited for, and what came of all others.

    done, failed: how many ended so; reason: why the last one failed, if it did. Used on the event loop; counting adds
    nothing to a caller's way.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.reason = ""
        self._opened: dict[Batch, float] = {}

    def open_batch(self, loop: asyncio.AbstractEventLoop) -> Batch:
        """A batch that begins to gather now."""
        batch = Batch(loop)
        self._opened[batch] = loop.time()
        return batch

    def waiting_seconds(self, now: float) -> float:
        """How long the oldest batch has waited for its end at `now` of the loop's clock; 0 where none does."""
        return now - min(self._opened.values(), default=now)

    def settle(self, batch: Batch, results: list[Any], failure: UnavailableError | None) -> None:
        """Tell everyone who waits for this commit. `results`: in the order of `all_units`."""
        self._opened.pop(batch, None)
        if failure is None:
            self.done += 1
            self.reason = ""
        else:
            self.failed += 1
            self.reason = failure.reason
        _settle(batch, results, failure)


def _settle(batch: Batch, results: list[Any], failure: UnavailableError | None) -> None:
    for (_, future), result in zip(batch.all_units, results, strict=True):
        if future.done():
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
    if batch.durable.done():
        return
    if failure is None:
        batch.durable.set_result(None)
    else:
        batch.durable.set_exception(failure)
        batch.durable.exception()  # seen: a record that nobody waits for is no "never retrieved" warning
