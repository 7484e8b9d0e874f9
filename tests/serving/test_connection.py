"""One connection: bounded against slow and greedy senders, strict in what it reads, and stopped without a cut."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from omnilab.serving import connection as module
from omnilab.serving import server as server_module
from omnilab.serving.connection import Connection
from omnilab.serving.server import Server

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Server], Awaitable[Any]]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers `ok`, or what the path asks for."""
    message = await receive()
    await asyncio.sleep(0.02)
    path, body = scope["path"], b"ok"
    headers = [(b"content-length", b"2")]
    if path == "/echo":
        body = b"%d %b" % (len(message["body"]), scope["query_string"])
        headers = [(b"content-length", b"%d" % len(body))]
    elif path == "/crash":
        raise ZeroDivisionError
    elif path == "/split":
        headers.append((b"x", b"a\r\nset-cookie: b"))
    elif path == "/parts":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    elif path == "/cut":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        raise ZeroDivisionError
    elif path == "/gone":
        headers = [(b"content-length", b"4")]
        body = (await receive())["type"][-4:].encode()
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def talk(conversation: Talk) -> Any:
    """Open one connection to a server and hold a conversation over it; the server then stops."""

    async def act() -> Any:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        server = Server(app, drain_seconds=5)
        serving = asyncio.create_task(server.serve(listener))
        reader, writer = await asyncio.open_connection(*address)
        while not server.connections:
            await asyncio.sleep(0.001)
        try:
            return await asyncio.wait_for(conversation(reader, writer, server), 20)
        finally:
            writer.close()
            server.stop()
            await asyncio.wait_for(serving, 20)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(act())


def server_address(server: Server) -> tuple[str, int]:
    """Where the server of the connections that are open listens."""
    host, port = next(iter(server.connections)).template["server"]
    return host, port


def said_to(*pieces: bytes) -> bytes:
    """Everything the server says to these bytes, until it closes the connection."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Server) -> bytes:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        return await reader.read()

    said: bytes = talk(conversation)
    return said


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(2)


def test_requests_follow_each_other_on_one_connection() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Server) -> None:
        for _ in range(3):
            writer.write(REQUEST)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200")

    talk(conversation)


def test_a_request_in_pieces_is_answered() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Server) -> None:
        for piece in (b"POST / HT", b"TP/1.1\r\nhost: x\r\ncontent-le", b"ngth: 4\r\n\r\n", b"bo", b"dy", REQUEST):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200")
        assert (await answer(reader)).startswith(b"HTTP/1.1 200")
        [connection] = state.connections
        assert isinstance(connection, Connection)

    talk(conversation)


@pytest.mark.parametrize(
    "began", [b"G", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nxx"]
)
def test_a_slow_sender_is_not_waited_for(began: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.02)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Server) -> bytes:
        writer.write(began)
        return await reader.read()

    assert talk(conversation).startswith(b"HTTP/1.1 408")


def test_a_connection_without_a_word_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(server_module, "LOOK_SECONDS", 0.02)
    assert said_to() == b""


def test_an_endless_head_is_refused() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Server) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        await asyncio.sleep(0.01)
        writer.write(b"a" * module.HEAD_BYTES)
        return await reader.read()

    assert talk(conversation).startswith(b"HTTP/1.1 431")


def test_a_stop_answers_what_is_running_and_says_that_it_closes() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Server) -> bytes:
        writer.write(REQUEST)
        await asyncio.sleep(0.01)
        for connection in state.connections:
            connection.shutdown()
        return await reader.read()

    said = talk(conversation)
    assert said.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in said
    assert said.endswith(b"ok")


def test_a_stop_answers_what_is_still_on_its_way() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Server) -> bytes:
        writer.write(REQUEST)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200")
        for connection in state.connections:
            connection.shutdown()
        writer.write(REQUEST)
        return await reader.read()

    said = talk(conversation)
    assert said.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in said


def test_a_connection_that_was_accepted_in_the_moment_of_a_stop_is_part_of_it() -> None:
    async def conversation(_: asyncio.StreamReader, __: asyncio.StreamWriter, server: Server) -> bytes:
        server.draining = True
        reader, writer = await asyncio.open_connection(*server_address(server))
        writer.write(REQUEST)
        said = await reader.read()
        writer.close()
        await writer.wait_closed()
        return said

    assert b"connection: close" in talk(conversation)


def test_a_stop_ends_a_silent_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: Server) -> bytes:
        await asyncio.sleep(0.01)
        for connection in state.connections:
            connection.shutdown()
        return await reader.read()

    assert talk(conversation) == b""


def test_a_stop_answers_what_came_while_the_worker_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Awake again, a worker may hear its timers before its sockets: it would close on a request it has not read."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)

    async def conversation(_: asyncio.StreamReader, __: asyncio.StreamWriter, server: Server) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.create_connection(server_address(server), timeout=10) as client:
            while len(server.connections) < 2:
                await asyncio.sleep(0.001)
            for each in server.connections:
                each.shutdown()
            wake, waker = socket.socketpair()

            def stand_still() -> None:
                loop.remove_reader(wake)
                client.sendall(REQUEST)
                time.sleep(0.2)

            with wake, waker:
                loop.add_reader(wake, stand_still)  # between the sockets and the timers
                waker.send(b"x")
                while server.connections:
                    await asyncio.sleep(0.001)
            return client.recv(4096)

    assert talk(conversation).startswith(b"HTTP/1.1 200 ")


def test_a_stop_takes_every_connection_that_waits_though_the_worker_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "BACKLOG_SECONDS", 0.05)

    async def act() -> list[bytes]:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        server = Server(app, drain_seconds=5)
        serving = asyncio.create_task(server.serve(listener))
        await asyncio.sleep(0.01)
        server.stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clients = [socket.create_connection(address, timeout=10) for _ in range(20)]
        for client in clients:
            client.sendall(REQUEST)
        time.sleep(0.2)  # noqa: ASYNC251 - the worker stands still
        await asyncio.wait_for(serving, 20)
        try:
            return [client.recv(4096) for client in clients]
        finally:
            for client in clients:
                client.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in runner.run(act()))


def test_pipelined_requests_are_answered_in_order() -> None:
    asked = b"".join(b"GET /echo?%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(20))
    said = said_to(asked + b"GET /echo?last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert re.findall(rb"\r\n\r\n0 (\d+|last)", said) == [*(b"%d" % n for n in range(20)), b"last"]


def test_a_stop_answers_pipelined_requests_too() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> bytes:
        writer.write(REQUEST * 3)
        await asyncio.sleep(0.01)
        for connection in server.connections:
            connection.shutdown()
        return await reader.read()

    said = talk(conversation)
    assert said.count(b"HTTP/1.1 200") == 3
    assert said.count(b"connection: close") == 1


@pytest.mark.parametrize(
    "asked",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET / HTTP/1.1\nhost: x\n\n",
        b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n\x00",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_two_servers_could_read_differently_is_refused(asked: bytes) -> None:
    said = said_to(asked + b"GET /echo?smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400")
    assert b"smuggled" not in said


def test_nothing_is_read_after_the_last_request() -> None:
    said = said_to(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" + REQUEST)
    assert said.count(b"HTTP/1.1 200") == 1


def test_a_chunked_body_is_put_together() -> None:
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    assert said_to(head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n").endswith(b"\r\n\r\n5 ")


@pytest.mark.parametrize("declared", [True, False])
def test_a_greedy_body_is_not_kept_and_its_answer_arrives(declared: bool) -> None:
    size = 4 * module.BODY_BYTES
    length = b"content-length: %d" % size if declared else b"transfer-encoding: chunked"
    chunk = b"" if declared else b"%x\r\n" % size
    said = said_to(b"POST /echo HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n" + chunk, b"a" * size)
    assert said.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in said


def test_expect_is_answered_before_the_body() -> None:
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    said = said_to(head, b"ab")
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


def test_an_offer_to_upgrade_is_answered_as_a_plain_request() -> None:
    asked = b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: h2c\r\n\r\n"
    assert said_to(asked).startswith(b"HTTP/1.1 200")


def test_older_clients_and_whole_urls_are_understood() -> None:
    assert b"\r\n\r\n0 q" in said_to(b"GET http://x/echo?q HTTP/1.0\r\n\r\n")


def test_head_has_no_body() -> None:
    said = said_to(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b"content-length: 2\r\n" in said
    assert said.endswith(b"\r\n\r\n")


def test_an_answer_in_parts_is_chunked() -> None:
    said = said_to(b"GET /parts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b"transfer-encoding: chunked" in said
    assert said.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize(("path", "begins"), [(b"/crash", b"HTTP/1.1 500"), (b"/split", b"HTTP/1.1 500")])
def test_a_defect_of_the_application_ends_the_connection(path: bytes, begins: bytes) -> None:
    said = said_to(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert said.startswith(begins)
    assert b"set-cookie" not in said


def test_an_answer_that_breaks_off_is_cut_and_not_ended_as_if_whole() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Server) -> bytes:
        writer.write(b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n")
        try:
            return await reader.read()
        except ConnectionResetError:
            return b"reset"

    assert not talk(conversation).endswith(b"ok")


def test_the_application_learns_that_its_client_has_gone() -> None:
    async def conversation(_: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> int:
        writer.write(b"GET /gone HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(0.05)
        assert server.running == 1
        plain = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a farewell
        writer.transport.abort()
        while server.running:
            await asyncio.sleep(0.001)
        return len(server.connections)

    assert talk(conversation) == 0


def test_a_client_may_close_its_side_and_still_read_the_answer() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Server) -> bytes:
        writer.write(REQUEST)
        writer.write_eof()
        return await reader.read()

    said = talk(conversation)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.endswith(b"ok")


def test_a_finished_request_is_freed_without_the_garbage_collector() -> None:
    """Cycles that a loaded worker leaves behind cost it a stop of 30 ms every second."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: Server) -> int:
        for _ in range(20):
            writer.write(REQUEST)
            await answer(reader)
        return gc.collect()

    gc.collect()
    gc.disable()
    try:
        assert talk(conversation) < 20  # what the test's own connection leaves, and nothing for each request
    finally:
        gc.enable()
