"""A small HTTP server on loopback that answers as it is told to: the issuer, as far as a guard sees one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class JwksServer:
    """`document` is what it serves, `status` how; `requests` are the paths that were asked for."""

    document: object
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    issuer: str = ""

    @property
    def url(self) -> str:
        return f"{self.issuer}/.well-known/jwks.json"


@contextmanager
def jwks_server(document: object) -> Iterator[JwksServer]:
    served = JwksServer(document)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            body = served.document if isinstance(served.document, bytes) else json.dumps(served.document).encode()
            self.send_response(served.status)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        served.issuer = f"http://127.0.0.1:{server.server_port}"
        yield served
        server.shutdown()
        thread.join()
