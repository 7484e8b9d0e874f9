"""A connection that repeats its head is read and judged once; its requests are answered as if each came alone."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterable

import pytest

from tests.harness import Credentials, Omnilab, Server

Answer = tuple[bytes, list[bytes], bytes]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> tuple[Omnilab, list[Credentials]]:
    omnilab = Omnilab(tmp_path_factory.mktemp("heads")).init()
    omnilab.create_tenant("acme")
    return omnilab, [omnilab.create_client("acme", allow=["bookings:read"]) for _ in range(2)]


def message(method: str, path: str, *lines: str, body: str = "") -> bytes:
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *lines))
    return f"{head}\r\n\r\n{body}".encode()


def token_request(client: Credentials, *lines: str, secret: str = "") -> bytes:
    body = f"grant_type=client_credentials&client_id={client.client_id}&client_secret={secret or client.client_secret}"
    return message("POST", "/v1/oauth:token", "content-type: application/x-www-form-urlencoded", *lines, body=body)


def answers(server: Server, messages: Iterable[bytes]) -> list[Answer]:
    """Of one connection: status line, header lines and body of each."""
    found: list[Answer] = []
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20) as caller:
        reader = caller.makefile("rb")
        for each in messages:
            caller.sendall(each)
            status, lines = reader.readline(), []
            while (line := reader.readline()) != b"\r\n":
                lines.append(line)
            length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
            found.append((status, lines, b"" if each.startswith(b"HEAD") else reader.read(length)))
    return found


def alike(answer: Answer) -> tuple[object, ...]:
    """An answer without what is new in each: ids, times, the token."""
    status, lines, body = answer
    names = sorted(line.partition(b":")[0] for line in lines)
    text = re.sub(rb'"(access_token|request_id|[a-z_]*_at)": ?("[^"]*"|\d+)', rb'"\1":"*"', body)
    return status, names, re.sub(rb"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9T:.-]{20,}Z", b"*", text)


def claims(body: bytes) -> dict[str, object]:
    part = json.loads(body)["access_token"].split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_each_is_answered_as_if_it_came_alone(clients: tuple[Omnilab, list[Credentials]]) -> None:
    omnilab, (client, other) = clients
    with omnilab.serve() as server:
        bearer = f"authorization: Bearer {server.token(client)}"
        kinds = (
            [token_request(client), token_request(client, secret=other.client_secret), token_request(other)],
            [message("GET", "/v1/oauth:whoami", bearer)],
            [message("GET", "/v1/oauth:whoami", bearer, bearer)],
            [message("GET", "/v1/oauth:token"), token_request(client)],
            [message("HEAD", "/healthz")],
            [message("GET", "/v1/interactions:fetchContactBookings?external_id=c-1", bearer)],
            [message("POST", "/v1/nowhere", body="{}"), message("POST", "/v1/nowhere", body="[]")],
            [message("GET", "/docs/errors/token_expired")],
            [token_request(client, "omnilab-simulate: 429")],
            [token_request(client, "origin: https://x.example")],
            [token_request(client, "x-request-id: the-callers-own")],
            [message("POST", "/v1/oauth:token?client_id=x", "content-type: application/json", body="{}")],
        )
        for kind in kinds:
            alone = [alike(*answers(server, [each])) for each in kind * 3]
            assert [alike(each) for each in answers(server, kind * 3)] == alone
        mixed = [each for kind in kinds for each in kind * 2]
        assert [alike(each) for each in answers(server, mixed)] == [alike(*answers(server, [each])) for each in mixed]


def test_nothing_of_one_caller_is_left_for_the_next(clients: tuple[Omnilab, list[Credentials]]) -> None:
    omnilab, (client, other) = clients
    turns = [client, client, other, client, other, other]
    with omnilab.serve() as server:
        got = answers(server, [token_request(each) for each in turns])
        assert [claims(body)["client_id"] for _, _, body in got] == [each.client_id for each in turns]
        assert len({claims(body)["jti"] for _, _, body in got}) == len(turns)
        [wrong] = answers(server, [token_request(client, secret=other.client_secret)])
        request_id = json.loads(wrong[2])["request_id"]
        again = answers(server, [token_request(client), token_request(client, secret=other.client_secret)])[1]
        records = [omnilab.cli("audit", "show", each) for each in (request_id, json.loads(again[2])["request_id"])]
        assert [each["client_id"] for each in records] == [None, None]
        assert records[0].keys() == records[1].keys()
