"""Source: RFC 9112 §6.3, §11.1 and §11.2, OWASP API 2023 API8.

Requests that two servers in a row could cut apart differently, each with a second one hidden in it that cancels a
booking with the first one's authority. One answer may come, and the booking stays.
"""

from __future__ import annotations

import socket

import pytest

from tests.conftest import Served

LIST = "/v1/interactions:fetchContactBookings?external_id=contact-1"
CANCEL = "/v1/interactions:cancelContactBooking"

SHAPES = {
    "length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 0\r\nContent-Length: 6\r\n\r\n",
    "a list of lengths": "Content-Length: 0, 6\r\n\r\n",
    "a length with a sign": "Content-Length: +0\r\n\r\n",
    "a length in hexadecimal": "Content-Length: 0x0\r\n\r\n",
    "a space before the colon": "Content-Length : 0\r\n\r\n",
    "a folded line": "X: y\r\n Content-Length: 0\r\n\r\n",
    "a bare line feed": "X: y\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": "X: y\rContent-Length: 0\r\n\r\n",
    "chunks by another name": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and identity": "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a vertical tab": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a NUL in a value": "X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a chunk of negative size": "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk of a size too large": "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n\r\n",
}


def said_to(url: str, request: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        while more := connection.recv(65536):
            said += more
    return said


def outer(served: Served, token: str, shape: str) -> str:
    """A request whose end is told in this shape."""
    return f"POST {LIST} HTTP/1.1\r\nHost: {host(served)}\r\nAuthorization: Bearer {token}\r\n{shape}"


def cancelling(served: Served, token: str, booking_id: str) -> str:
    body = f'{{"external_id": "contact-1", "booking_id": "{booking_id}"}}'
    return (
        f"POST {CANCEL} HTTP/1.1\r\nHost: {host(served)}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )


def host(served: Served) -> str:
    return served.server.url.removeprefix("http://")


@pytest.mark.parametrize("shape", SHAPES)
def test_no_hidden_request_is_answered(served: Served, shape: str) -> None:
    token = served.server.token(served.client)
    sent = outer(served, token, SHAPES[shape]) + cancelling(served, token, "bkg_00000001")
    said = said_to(served.server.url, sent.encode("latin-1"))
    assert said.startswith(b"HTTP/1.1 4"), said[:200]
    assert said.count(b"HTTP/1.1 ") == 1
    answer = served.server.http.get(LIST, headers={"Authorization": f"Bearer {token}"})
    assert {each["booking_status"] for each in answer.json()["bookings"]} == {"CONFIRMED"}


def test_an_honest_second_request_is_answered(served: Served) -> None:
    """Otherwise the test above would pass for a server that never reads a second one."""
    token = served.server.token(served.client)
    sent = outer(served, token, "Content-Length: 0\r\n\r\n") + cancelling(served, token, "bkg_none")
    said = said_to(served.server.url, sent.encode())
    assert said.count(b"HTTP/1.1 ") == 2
    assert b"booking_not_found" in said
