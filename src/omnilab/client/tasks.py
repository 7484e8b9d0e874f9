"""The door for asyncio tasks: does what a flow asks without blocking the event loop. As many loops as there are."""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import Future
from contextlib import suppress

import httpx

from omnilab.client import network
from omnilab.client.effects import Answer, Failure, Flow, Fly, Pause, Send, T, Wait
from omnilab.client.forks import remember
from omnilab.client.settings import Settings

_Loop = asyncio.AbstractEventLoop


class _Road:
    """One loop's connections, and the queue before them."""

    __slots__ = ("lanes", "room")

    def __init__(self, lanes: network.Lanes[httpx.AsyncBaseTransport]) -> None:
        self.lanes = lanes
        self.room = asyncio.Semaphore(network.MAX_CONNECTIONS)


class TaskDoor:
    """Runs flows for any number of tasks. transport: used instead of one of its own."""

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._given = transport
        # Connections belong to their loop; who calls `asyncio.run` twice has two.
        self._made: weakref.WeakKeyDictionary[_Loop, _Road] = weakref.WeakKeyDictionary()
        self._flights: set[asyncio.Task[None]] = set()
        remember(self)

    async def run(self, flow: Flow[T]) -> T:
        """The flow's result; raises what the flow raises."""
        reply: object = None
        try:
            while True:
                effect = flow.send(reply)
                if type(effect) is Send:
                    reply = await self._send(effect)
                elif type(effect) is Pause:
                    await asyncio.sleep(effect.seconds)
                elif type(effect) is Wait:
                    reply = await _landed(effect.landing, effect.seconds)
                elif type(effect) is Fly:
                    reply = self._fly(effect)
        except StopIteration as ended:
            result: T = ended.value
            return result
        finally:
            flow.close()

    async def close(self) -> None:
        """Close the connections of this loop and stop its renewals. A later call opens new ones."""
        loop = asyncio.get_running_loop()
        flights = [task for task in self._flights if task.get_loop() is loop]
        for task in flights:
            task.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        road = self._made.pop(loop, None)
        for transport in road.lanes.transports if road is not None else ():
            await transport.aclose()

    def after_fork(self) -> None:
        """In a child process: the parent's connections and tasks are the parent's."""
        self._made = weakref.WeakKeyDictionary()
        self._flights = set()

    def _fly(self, fly: Fly) -> bool:
        """In a task of its own, also when it is waited for: the first caller may be cancelled, the others must not."""
        task = asyncio.get_running_loop().create_task(self.run(fly.flow), name="omnilab-renewal")
        self._flights.add(task)

        def landed(task: asyncio.Task[None]) -> None:
            self._flights.discard(task)
            fly.landed()
            if not task.cancelled():
                task.exception()  # looked at, so that the loop does not complain

        task.add_done_callback(landed)
        return True

    async def _send(self, send: Send) -> Answer | Failure:
        if self._given is not None:
            return await self._exchange(send, self._given)
        road = self._road()
        if not road.room.locked():
            await road.room.acquire()
        else:
            try:
                await asyncio.wait_for(road.room.acquire(), max(0.0, send.deadline - self._settings.clock.now()))
            except TimeoutError:
                return network.no_room()
        try:
            number, transport = road.lanes.take()
            try:
                return await self._exchange(send, transport)
            finally:
                road.lanes.give_back(number)
        finally:
            road.room.release()

    async def _exchange(self, send: Send, transport: httpx.AsyncBaseTransport) -> Answer | Failure:
        clock = self._settings.clock
        # The answer to a `try` that failed is made outside of it: no error of ours has one of httpx behind it.
        try:
            response = await transport.handle_async_request(network.request_of(send, self._settings, clock.now()))
            try:
                body = b""
                async for chunk in response.aiter_bytes():
                    body = body + chunk if body else chunk
                    if len(body) > network.MAX_BODY_BYTES:
                        return network.too_large()
                    if clock.now() > send.deadline:
                        return network.too_late()
                return Answer(response.status_code, response.headers, body)
            finally:
                await response.aclose()
        except network.ERRORS as error:
            return network.failure_of(error)

    def _road(self) -> _Road:
        loop = asyncio.get_running_loop()
        road = self._made.get(loop)
        if road is None:
            make = network.maker(httpx.AsyncHTTPTransport, self._settings)
            road = self._made[loop] = _Road(network.Lanes(make))
        return road


async def _landed(landing: Future[None], seconds: float) -> bool:
    # The flight itself cannot be cancelled (see `Flight`), so a waiter that is takes nobody along.
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.wrap_future(landing), seconds)
    return landing.done()
