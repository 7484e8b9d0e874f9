"""The door for threads: does what a flow asks, blocking the thread that runs it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import httpx

from omnilab.client import network
from omnilab.client.effects import Answer, Failure, Flow, Fly, Pause, Send, T, Wait
from omnilab.client.forks import remember
from omnilab.client.settings import Settings


class ThreadDoor:
    """Runs flows for any number of threads. transport: used instead of one of its own."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._given = transport
        self._lanes = self._new_lanes()
        self._taking = threading.Lock()
        self._room = threading.Semaphore(network.MAX_CONNECTIONS)
        remember(self)

    def run(self, flow: Flow[T]) -> T:
        """The flow's result; raises what the flow raises."""
        reply: object = None
        try:
            while True:
                effect = flow.send(reply)
                if type(effect) is Send:
                    reply = self._send(effect)
                elif type(effect) is Pause:
                    time.sleep(effect.seconds)
                elif type(effect) is Wait:
                    reply = _landed(effect.landing, effect.seconds)
                elif type(effect) is Fly:
                    reply = self._fly(effect)
        except StopIteration as ended:
            result: T = ended.value
            return result
        finally:
            flow.close()

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        with self._taking:
            lanes, self._lanes = self._lanes, self._new_lanes()
        for transport in lanes.transports:
            transport.close()

    def after_fork(self) -> None:
        """In a child process: the parent's connections are the parent's."""
        self._lanes = self._new_lanes()
        self._taking = threading.Lock()
        self._room = threading.Semaphore(network.MAX_CONNECTIONS)

    def _new_lanes(self) -> network.Lanes[httpx.BaseTransport]:
        return network.Lanes(network.maker(httpx.HTTPTransport, self._settings))

    def _fly(self, fly: Fly) -> bool:
        if fly.now:
            try:
                self.run(fly.flow)
            finally:
                fly.landed()
            return True
        try:
            threading.Thread(target=self._in_background, args=(fly,), name="omnilab-renewal", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is ending: the old token serves, and is tried later
            return False
        return True

    def _in_background(self, fly: Fly) -> None:
        try:
            self.run(fly.flow)
        finally:
            fly.landed()

    def _send(self, send: Send) -> Answer | Failure:
        if self._given is not None:
            return self._exchange(send, self._given)
        room, taking = self._room, self._taking
        if not room.acquire(timeout=max(0.0, send.deadline - self._settings.clock.now())):
            return network.no_room()
        try:
            with taking:
                lanes = self._lanes
                number, transport = lanes.take()
            try:
                return self._exchange(send, transport)
            finally:
                with taking:
                    lanes.give_back(number)
        finally:
            room.release()

    def _exchange(self, send: Send, transport: httpx.BaseTransport) -> Answer | Failure:
        clock = self._settings.clock
        # The answer to a `try` that failed is made outside of it: no error of ours has one of httpx behind it.
        try:
            response = transport.handle_request(network.request_of(send, self._settings, clock.now()))
            try:
                body = b""
                for chunk in response.iter_bytes():
                    body = body + chunk if body else chunk
                    if len(body) > network.MAX_BODY_BYTES:
                        return network.too_large()
                    if clock.now() > send.deadline:
                        return network.too_late()
                return Answer(response.status_code, response.headers, body)
            finally:
                response.close()
        except network.ERRORS as error:
            return network.failure_of(error)


def _landed(landing: Future[None], seconds: float) -> bool:
    try:
        landing.result(seconds)
    except FutureTimeoutError:
        return False
    return True
