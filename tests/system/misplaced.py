"""A value in every place of a request where nobody would look for a secret: raw HTTP/1.1, well-formed and broken.

Made for values that an HTTP library would not let through; what stands in which place is told by its name.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

TOKEN, WHOAMI = "/v1/oauth:token", "/v1/oauth:whoami"
FETCH, CANCEL = "/v1/interactions:fetchContactBookings", "/v1/interactions:cancelContactBooking"
CREATE, ALIAS = "/v1/interactions:createContactBooking", "/v1/interactions:cancelBooking"
READS = (
    WHOAMI, FETCH, "/openapi.json", "/.well-known/jwks.json", "/.well-known/oauth-authorization-server",
    "/healthz", "/readyz", "/docs/errors", "/docs/errors/token_missing", "/v1/nothing", "/metrics", "/",
)  # fmt: skip
WRITES = (TOKEN, CANCEL, CREATE, ALIAS)
_FIELDS = {
    TOKEN: ("grant_type", "client_id", "client_secret", "audience", "scope", "resource"),
    CANCEL: ("external_id", "booking_id", "reason"),
    ALIAS: ("external_id", "booking_id", "reason"),
    CREATE: (
        "external_id", "interaction_id", "event_id", "slot_id", "slot_start_date", "slot_end_date", "event_title",
        "event_location", "ticket_type", "slot_capacity", "booking_id",
    ),
}  # fmt: skip
_QUERY = (
    "external_id", "interaction_id", "booking_id", "booking_status", "starts_after", "page_size", "page_number",
    "access_token", "client_secret", "client_id", "audience",
)  # fmt: skip
_HEADERS = (
    "X-Request-Id", "Idempotency-Key", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Cookie", "Origin",
    "Referer", "User-Agent", "Content-Type", "Content-Encoding", "Accept", "traceparent", "X-Api-Key",
    "Proxy-Authorization",
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """One request as its bytes. `right` is the body of a request that would pass."""

    place: str
    raw: bytes


def request(
    method: str, target: str, headers: Mapping[str, str], body: bytes = b"", *, host: str = "127.0.0.1"
) -> bytes:
    """Put together without looking at any of it."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + body


def everywhere(value: str, bodies: Mapping[str, Mapping[str, object]], token: str) -> Iterator[Sent]:
    """The value in every place of every call. `bodies`: a body that passes, by path; `token`: one that passes."""
    for path in READS:
        yield from _in_head("GET", path, value, token)
        yield from _in_query(path, value, token)
    for path in WRITES:
        yield from _in_head("POST", path, value, token, body=json.dumps(bodies[path]).encode())
        for place, kind, body in _bodies(path, value, bodies[path]):
            for name, credential in (("with", token), ("without", "")):
                if path == TOKEN and credential:
                    continue
                headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {credential}"} if credential else {})
                yield Sent(f"{path} {place} {name} a token", request("POST", path, headers, body))


def _in_head(method: str, path: str, value: str, token: str, body: bytes = b"") -> Iterator[Sent]:
    kind = {"Content-Type": "application/json"}
    bearer = {"Authorization": f"Bearer {token}"} if path != TOKEN else {}
    encoded = base64.b64encode(f"cli_nobody:{value}".encode()).decode()
    for form in (value, f"Bearer {value}", f"Basic {value}", f"Basic {encoded}", f"Bearer {token}, Bearer {value}"):
        yield Sent(f"{path} Authorization", request(method, path, kind | {"Authorization": form}, body))
    for name in _HEADERS:
        yield Sent(f"{path} {name}", request(method, path, kind | bearer | {name: value}, body))
    yield Sent(f"{path} header name", request(method, path, kind | bearer | {value: "1"}, body))
    yield Sent(f"{path} Host", request(method, path, kind | bearer, body, host=value))
    yield Sent(f"{path} Host label", request(method, path, kind | bearer, body, host=f"{value}.api.example.com"))
    yield Sent(f"{path} method", request(value, path, kind | bearer, body))
    yield Sent(f"{path} other method", request("DELETE", path + "?x=" + value, kind | bearer, body))
    long_way = "/" + "way/" * 45 + "x" * (4 + len(path) % 8)  # the value begins shortly before what a log keeps
    for target in (f"{path}/{value}", f"/{value}{path}", f"{path};{value}", f"//u:{value}@x{path}", long_way + value):
        yield Sent(f"{path} path", request(method, target, kind | bearer, body))
    yield Sent(f"{path} absolute", request(method, f"http://u:{value}@127.0.0.1{path}", kind | bearer, body))


def _in_query(path: str, value: str, token: str) -> Iterator[Sent]:
    bearer = {"Authorization": f"Bearer {token}"}
    once, all_of_it = quote(value, safe=""), "".join(f"%{byte:02x}" for byte in value.encode())
    for name in _QUERY:
        yield Sent(f"{path}?{name}", request("GET", f"{path}?external_id=c&{name}={once}", bearer))
    for query in (value, f"{once}=1", f"x={all_of_it}", f"{all_of_it}", f"external_id={once}%", f"a%ff={once}"):
        yield Sent(f"{path}?", request("GET", f"{path}?{query}", bearer))


def _bodies(path: str, value: str, right: Mapping[str, object]) -> Iterator[tuple[str, str, bytes]]:
    """Place, media type and bytes of bodies with the value in them."""
    json_type, form_type = "application/json", "application/x-www-form-urlencoded"
    for name in _FIELDS[path]:
        yield f"field {name}", json_type, json.dumps(dict(right) | {name: value}).encode()
        yield f"list in {name}", json_type, json.dumps(dict(right) | {name: [value, {value: value}]}).encode()
    whole = json.dumps(dict(right) | {"client_secret": value})
    yield "field name", json_type, json.dumps(dict(right) | {value: 1}).encode()
    yield "cut JSON", json_type, whole[:-2].encode()
    yield "twice", json_type, f'{{"client_secret":"{value}","client_secret":"{value}"}}'.encode()
    yield "deep", json_type, b'{"a":' * 40 + json.dumps(value).encode() + b"}" * 40
    yield "very deep", json_type, b"[" * 6000 + json.dumps(value).encode() + b"]" * 6000
    yield "no object", json_type, json.dumps(value).encode()
    yield "no JSON", json_type, value.encode()
    yield "NUL", json_type, json.dumps({"client_secret": value + "\0"}).encode()
    yield "UTF-16", json_type, whole.encode("utf-16")
    yield "not UTF-8", json_type, b'{"client_secret":"\xff' + value.encode() + b'"}'
    yield "too large", json_type, json.dumps({"client_secret": value * 400}).encode()
    yield "text", "text/plain", value.encode()
    yield "charset", f"application/json; charset={value}", whole.encode()
    yield "multipart", "multipart/form-data; boundary=x", f"--x\r\n\r\n{value}\r\n--x--".encode()
    yield "form", form_type, f"client_id=x&client_secret={quote(value)}&access_token={quote(value)}".encode()
    yield "form twice", form_type, f"client_secret={quote(value)}&client_secret={quote(value)}".encode()
    yield "form name", form_type, f"{quote(value)}=1&{quote(value)}=2".encode()
    yield "form many", form_type, (f"{quote(value)}&" * 100 + "x&" * 200).encode()[:16_000]


def broken(value: str) -> Iterator[Sent]:
    """What is not even HTTP."""
    v = value.encode()
    yield Sent("no HTTP", v + b"\r\n\r\n")
    yield Sent("version", b"GET / HTTP/" + v + b"\r\n\r\n")
    yield Sent("no colon", b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer " + v + b"\r\n\r\n")
    yield Sent("space in target", b"GET /v1/x " + v + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    yield Sent("bad length", b"POST /v1/oauth:token HTTP/1.1\r\nHost: x\r\nContent-Length: " + v + b"\r\n\r\n")
    yield Sent("bad chunk", b"POST /v1/oauth:token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + v + b"\r\n")
    yield Sent("control", b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x01" + v + b"\r\n\r\n")
    yield Sent("huge head", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + v * 1500 + b"\r\n\r\n")
    yield Sent("cut off", b"POST /v1/oauth:token HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n" + v)


class Wire:
    """A connection that is opened anew when the server has closed it, and gives whatever bytes came back."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._address = (address.hostname or "", address.port or 0)
        self._socket: socket.socket | None = None

    def send(self, raw: bytes) -> bytes:
        """The answer; empty when there was none."""
        for _ in range(2):
            if self._socket is None:
                self._socket = socket.create_connection(self._address, timeout=5)
            try:
                self._socket.sendall(raw)
                if answer := self._answer():
                    return answer
            except OSError:
                pass
            self.close()
        return b""

    def send_and_hang_up(self, raw: bytes) -> bytes:
        """For what may leave the server waiting for more."""
        with socket.create_connection(self._address, timeout=5) as lonely:
            try:
                lonely.sendall(raw)
                lonely.shutdown(socket.SHUT_WR)
                return lonely.recv(65536)
            except OSError:
                return b""  # it did not wait for the end

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _answer(self) -> bytes:
        assert self._socket is not None
        got = b""
        while b"\r\n\r\n" not in got:
            got += (more := self._socket.recv(65536))
            if not more:
                return got
        head, _, body = got.partition(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        while len(body) < length:
            body += (more := self._socket.recv(65536))
            if not more:
                break
        if b"connection: close" in lower:
            self.close()
        return head + b"\r\n\r\n" + body
