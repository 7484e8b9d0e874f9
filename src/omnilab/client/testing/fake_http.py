"""The fake's two ways in: a transport for httpx clients of both colours, and a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx


class Question(NamedTuple):
    """One request. Header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """One answer. lost: the connection breaks instead of bringing it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    lost: bool = False


Answering = Callable[[Question], Reply]


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Brings requests to the fake without a network."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._answer(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._answer(request, await request.aread())

    def _answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        reply = self._answering(Question(request.method, request.url.raw_path.decode("ascii"), headers, body))
        if reply.lost:
            raise httpx.ReadError("the fake lost the connection", request=request)
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


@contextmanager
def serving(answering: Answering) -> Iterator[str]:
    """Serve on a free port of this machine until the block ends; gives the base URL."""
    server = _Server(("127.0.0.1", 0), _handler(answering))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(answering: Answering) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body leave together

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the base class's name
            """Says nothing: test output is for tests."""

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = answering(Question(self.command, self.path, headers, self.rfile.read(length)))
            if reply.lost:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

    return Handler
