"""One connection: bounded against slow and greedy senders, and stopped without cutting what is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from omnilab.serving import connection as module
from omnilab.serving.connection import Connection

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, ServerState], Awaitable[Any]]


async def app(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def talk(conversation: Talk, **options: Any) -> Any:
    """Open one connection to a server of this protocol and hold a conversation over it."""

    async def act() -> Any:
        config = uvicorn.Config(app, http=Connection, ws="none", lifespan="off", log_config=None, **options)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(config, state, {}, loop), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            return await asyncio.wait_for(conversation(reader, writer, state), 20)
        finally:
            writer.close()
            server.close()

    return asyncio.run(act())


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(2)


def test_requests_follow_each_other_on_one_connection() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        for _ in range(3):
            writer.write(REQUEST)
            assert (await answer(reader)).startswith(b"HTTP/1.1 200")

    talk(conversation)


def test_a_request_in_pieces_is_answered() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> None:
        for piece in (b"POST / HT", b"TP/1.1\r\nhost: x\r\ncontent-le", b"ngth: 4\r\n\r\n", b"bo", b"dy", REQUEST):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200")
        assert (await answer(reader)).startswith(b"HTTP/1.1 200")
        [connection] = state.connections
        assert isinstance(connection, Connection)
        assert connection.deadline is None

    talk(conversation)


@pytest.mark.parametrize(
    "began", [b"G", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nxx"]
)
def test_a_slow_sender_is_not_waited_for(began: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.05)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> bytes:
        writer.write(began)
        return await reader.read()

    said = talk(conversation)
    assert said.startswith(b"HTTP/1.1 408") or (b"\r\n\r\n" in began and said == b"")


def test_a_connection_without_a_word_is_ended() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> bytes:
        return await reader.read()

    assert talk(conversation, timeout_keep_alive=0) == b""


def test_an_endless_head_is_refused() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        await asyncio.sleep(0.01)
        writer.write(b"a" * module.HEAD_BYTES)
        return await reader.read()

    assert talk(conversation).startswith(b"HTTP/1.1 431")


def test_a_stop_answers_what_is_running_and_says_that_it_closes() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> bytes:
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
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> bytes:
        writer.write(REQUEST)
        assert (await answer(reader)).startswith(b"HTTP/1.1 200")
        for connection in state.connections:
            connection.shutdown()
        writer.write(REQUEST)
        return await reader.read()

    said = talk(conversation)
    assert said.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in said


def test_a_stop_ends_a_silent_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: ServerState) -> bytes:
        await asyncio.sleep(0.01)
        for connection in state.connections:
            connection.shutdown()
        return await reader.read()

    assert talk(conversation) == b""
