"""Stands between a program and the server and keeps which calls and tokens went through.

Passes everything on as it is, but what a test sets: how long tokens say they live, and how often nobody is there.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_OWN = {"host", "connection", "content-length", "date", "server", "transfer-encoding"}
TOKEN = "token"


@dataclass
class Forwarder:
    """calls: (what was called, status of its answer, idempotency key), in the order of the answers.

    life_seconds: what token answers say instead of the truth. away: how many of the next calls meet a 503.
    """

    url: str = ""
    calls: list[tuple[str, int, str | None]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    life_seconds: int | None = None
    away: int = 0

    def taken(self) -> list[tuple[str, int]]:
        """The calls since the last look, without their keys."""
        taken, self.calls = self.calls, []
        return [(name, status) for name, status, _ in taken]


@contextmanager
def forwarding_to(server_url: str) -> Iterator[Forwarder]:
    forwarder, http = Forwarder(), httpx.Client(base_url=server_url, timeout=20, trust_env=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _pass_on(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
            is_token = self.path == "/v1/oauth:token"
            if forwarder.away:
                forwarder.away -= 1
                answer = httpx.Response(503, json={"code": "temporarily_unavailable"}, headers={"Retry-After": "1"})
            else:
                answer = http.request(self.command, self.path, content=content, headers=headers)
            name = TOKEN if is_token else self.path.partition(":")[2].partition("?")[0]
            forwarder.calls.append((name, answer.status_code, self.headers.get("Idempotency-Key")))
            if is_token and answer.is_success:
                forwarder.tokens.append(answer.json()["access_token"])
                if forwarder.life_seconds is not None:
                    life = f'"expires_in":{forwarder.life_seconds}'.encode()
                    content = re.sub(rb'"expires_in":\d+', life, answer.content)
                    answer = httpx.Response(200, content=content, headers=answer.headers)
            self.send_response(answer.status_code)
            for pair in answer.headers.items():
                if pair[0].lower() not in _OWN:
                    self.send_header(*pair)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = _pass_on  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            """Nothing on the test's own output."""

    class Listener(ThreadingHTTPServer):
        request_queue_size = 100

    with Listener(("127.0.0.1", 0), Handler) as listener, http:
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        forwarder.url = f"http://127.0.0.1:{listener.server_port}"
        yield forwarder
        listener.shutdown()
        thread.join()
