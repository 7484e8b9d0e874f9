"""A TCP forwarder between a node and its database, which a test can freeze, cut, hush, or keep from telling an end.

It runs on a thread of its own, so that a test may wait for whatever it likes meanwhile.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_LISTENS = re.compile(rb"(?<!UN)LISTEN ")


@dataclass(eq=False)
class _Pair:
    """One forwarded connection. `listens`: it has sent LISTEN, so it carries the change feed's wake-ups."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    listens: bool = False


class Forwarder:
    """`port` leads to the target. frozen: bytes no longer flow, and nobody is told."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target = target_port
        self._loop = asyncio.new_event_loop()
        self._pairs: set[_Pair] = set()
        self._flowing: dict[bool, asyncio.Event] = {}
        self._answering = asyncio.Event()
        self._answering.set()
        self._hush_after: bytes | None = None
        self._tells_ends = True
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> Forwarder:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def stop(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def freeze(self, *, listeners_only: bool = False) -> None:
        """No byte passes any more, and no connection is ended: what a network that vanished looks like."""
        for listens in (True,) if listeners_only else (True, False):
            self._call(self._flowing[listens].clear)

    def thaw(self) -> None:
        """From now on everything passes again."""

        def open_all() -> None:
            self._hush_after = None
            self._tells_ends = True
            for event in (*self._flowing.values(), self._answering):
                event.set()

        self._call(open_all)

    def hush(self, after: bytes) -> None:
        """From these bytes on, what is asked still arrives and is done, but no answer comes back."""

        def listen_for_it() -> None:
            self._hush_after = after

        self._call(listen_for_it)

    def hide_ends(self) -> None:
        """Nobody is told that the other side has closed a connection."""
        self._tells_ends = False

    def cut(self, *, listeners_only: bool = False) -> None:
        """End connections as a reset does; new ones are taken."""

        def abort() -> None:
            for pair in self._pairs:
                if pair.listens or not listeners_only:
                    for writer in pair.writers:
                        writer.transport.abort()

        self._call(abort)

    def _call(self, act: Callable[[], None]) -> None:
        async def run() -> None:
            act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _listen(self) -> None:
        self._flowing = {listens: asyncio.Event() for listens in (True, False)}
        for event in self._flowing.values():
            event.set()
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair([writer])
        self._pairs.add(pair)
        try:
            await self._flowing[False].wait()  # whoever connects while it is frozen waits too
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            pair.writers.append(back)
            await asyncio.gather(self._pump(reader, back, pair, watched=True), self._pump(there, writer, pair))
        except OSError:
            pass
        finally:
            for each in pair.writers:
                each.transport.abort()
            self._pairs.discard(pair)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, pair: _Pair, *, watched: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                pair.listens = pair.listens or (watched and _LISTENS.search(data) is not None)
                await self._flowing[pair.listens].wait()
                if watched and self._hush_after is not None and self._hush_after in data:
                    self._answering.clear()
                if not watched:
                    await self._answering.wait()
                target.write(data)
                await target.drain()
        if self._tells_ends:
            for each in pair.writers:
                each.transport.abort()


@contextmanager
def forwarding_to(port: int) -> Iterator[Forwarder]:
    forwarder = Forwarder(port).start()
    try:
        yield forwarder
    finally:
        forwarder.stop()
