"""A network between a client and a server that goes wrong on request: it holds, loses, cuts or swallows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

Action = Literal["pass", "cut", "lose", "swallow", "hold"]


class Wire:
    """Brings requests from its own port to a server, one thread a connection.

    decide(path) says what becomes of a request: `pass`; `cut`: the connection ends before the server sees it; `lose`:
    the server answers, and the connection ends instead of bringing it; `swallow`: nothing ever comes, the connection
    stays open and is dead (half-open); `hold`: the answer comes when `released` is set.
    """

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.decide: Callable[[str], Action] = lambda _: "pass"
        self.released = threading.Event()
        self.seen: list[tuple[str, Action]] = []
        self.answered = threading.Event()
        self._ended = threading.Event()
        self._sockets: list[socket.socket] = []

    def count(self, path: str, action: Action | None = None) -> int:
        return sum(path in each and action in (None, done) for each, done in list(self.seen))

    def run(self) -> None:
        while not self._ended.is_set():
            with suppress(OSError):
                client, _ = self.listener.accept()
                self._sockets.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def end(self) -> None:
        self._ended.set()
        self.released.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self.listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError), client, client.makefile("rb") as incoming:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while message := _message(incoming):
                path = message.split(b" ", 2)[1].decode().partition("?")[0]
                action = self.decide(path)
                self.seen.append((path, action))
                if action == "cut":
                    return
                if action == "swallow":
                    self._ended.wait()
                    return
                answer = self._ask(message)
                if action == "hold":
                    self.answered.set()
                    self.released.wait()
                if action == "lose":
                    return
                client.sendall(answer)

    def _ask(self, message: bytes) -> bytes:
        with socket.create_connection(self._upstream) as server, server.makefile("rb") as incoming:
            server.sendall(message)
            return _message(incoming)


def _message(incoming: object) -> bytes:
    """One HTTP message with a body of known length; empty at the end of the connection."""
    head = b""
    while line := incoming.readline():  # type: ignore[attr-defined]
        head += line
        if line == b"\r\n":
            break
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    body: bytes = incoming.read(int(lengths[0])) if lengths else b""  # type: ignore[attr-defined]
    return head + body


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    thread = threading.Thread(target=wire.run, daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        wire.end()
        thread.join(5)
