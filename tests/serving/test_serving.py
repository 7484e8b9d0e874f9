"""The server as a whole: its workers, its death, its stop, and what it says where it cannot start."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.harness import Credentials, Omnilab, Server, free_port

LOAD_CONNECTIONS = 40
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Omnilab, Credentials]:
    omnilab = Omnilab(tmp_path_factory.mktemp("serving")).init()
    omnilab.create_tenant("acme")
    return omnilab, omnilab.create_client("acme", allow=["bookings:read"])


def until(condition: Callable[[], bool], within_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def state_of(pid: int) -> str:
    """As the kernel has it: `T` is stopped, `Z` ended."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_alive(pid: int) -> bool:
    try:
        return state_of(pid) != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_worker_is_replaced_and_takes_over_what_waits(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, client = installed
    with omnilab.serve() as server:
        for _ in range(3):
            [pid] = server.worker_pids()
            os.kill(pid, signal.SIGKILL)
            # The parent holds the listening socket: this connection is made before there is a worker to answer it.
            with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as http:
                assert http.get("/healthz").status_code == 200
            until(lambda gone=pid: server.worker_pids() not in ([], [gone]))
        assert server.token(client)
        assert server.log.count("worker_replaced") == 3


def test_a_worker_that_hangs_is_replaced_and_with_it_goes_its_turn_to_write(
    installed: tuple[Omnilab, Credentials],
) -> None:
    omnilab, client = installed
    with omnilab.serve() as server, ThreadPoolExecutor(1) as beside:
        [pid] = server.worker_pids()
        cut = beside.submit(ask_until_cut, server, client)
        stop_while_it_writes(pid, omnilab.directory / ".omnilab/omnilab.db.write")
        with httpx.Client(base_url=server.url, timeout=90, trust_env=False) as http:
            assert http.get("/healthz").status_code == 200  # it waited at the socket
        cut.result()
        assert pid not in server.worker_pids()
        assert server.token(client)
        assert server.log.count("worker_hangs") == 1


def ask_until_cut(server: Server, client: Credentials) -> None:
    """Ask for tokens until the connection breaks."""
    with httpx.Client(base_url=server.url, timeout=90, trust_env=False) as http:
        body = {"client_id": client.client_id, "client_secret": client.client_secret, "audience": client.audience}
        while True:
            try:
                answer = http.post("/v1/oauth:token", json=body | {"grant_type": "client_credentials"})
            except httpx.TransportError:
                return
            assert answer.status_code in (200, 429), answer.text  # both leave a record


def stop_while_it_writes(worker: int, turn: Path) -> None:
    """SIGSTOP at a moment at which the worker has its turn."""
    with turn.open("rb") as file:
        while True:
            time.sleep(0.003)
            os.kill(worker, signal.SIGSTOP)
            until(lambda: state_of(worker) == "T")
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(file, fcntl.LOCK_UN)
            os.kill(worker, signal.SIGCONT)


def test_every_worker_answers(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, _ = installed
    with omnilab.serve(workers=3) as server:
        assert len(server.worker_pids()) == 3
        for _ in range(30):
            assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200


def test_workers_die_with_their_parent_and_the_same_command_starts_again(
    installed: tuple[Omnilab, Credentials],
) -> None:
    omnilab, client = installed
    for workers in (1, 2, 2):
        server = omnilab.start(workers)
        server.wait_until_ready()
        assert server.token(client)
        pids = server.worker_pids()
        server.kill()
        until(lambda gone=pids: not any(is_alive(pid) for pid in gone))
        server.stop()
    with omnilab.serve() as server:
        assert server.token(client)


@pytest.mark.parametrize(
    ("keep_alive", "number"), [(True, signal.SIGTERM), (False, signal.SIGTERM), (True, signal.SIGINT)]
)
def test_a_stop_under_load_cuts_no_request(
    installed: tuple[Omnilab, Credentials], keep_alive: bool, number: signal.Signals
) -> None:
    omnilab, client = installed
    server = omnilab.start(workers=2)
    server.wait_until_ready()
    seen = asyncio.run(_load_until_stopped(server, client, number, keep_alive=keep_alive))
    # No second signal: that would ask for an end at once.
    assert server.process.wait(30) == 0
    assert seen.pop("answered") > LOAD_CONNECTIONS
    assert set(seen) <= {"not connected"}


async def _load_until_stopped(
    server: Server, client: Credentials, number: signal.Signals, *, keep_alive: bool
) -> Counter[str]:
    """Ask for tokens over many connections, send the signal in the middle, and count how the requests ended."""
    body = json.dumps(
        {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "audience": client.audience,
            "grant_type": "client_credentials",
        }
    ).encode()
    connection = b"" if keep_alive else b"connection: close\r\n"
    request = (
        b"POST /v1/oauth:token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n"
        % (
            connection,
            len(body),
        )
    )
    seen: Counter[str] = Counter()
    address = ("127.0.0.1", httpx.URL(server.url).port)

    async def ask_again_and_again() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(*address)
            except ConnectionRefusedError:
                seen["not connected"] += 1
                return
            closes = False
            while not closes:
                try:
                    writer.write(request + body)
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    await reader.readexactly(length)
                except (OSError, asyncio.IncompleteReadError) as error:
                    seen[f"cut: {error!r}"] += 1
                    return
                seen["answered"] += 1
                closes = b"connection: close" in head
            writer.close()

    callers = [asyncio.create_task(ask_again_and_again()) for _ in range(LOAD_CONNECTIONS)]
    while seen["answered"] < 5 * LOAD_CONNECTIONS:
        await asyncio.sleep(0.01)
    server.process.send_signal(number)
    await asyncio.gather(*callers)
    return seen


def test_a_stop_while_the_worker_starts_answers_who_waits(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, _ = installed
    server = omnilab.start(workers=2)
    callers = [connected_when_it_listens(omnilab.port)]
    callers += [socket.create_connection(("127.0.0.1", omnilab.port), timeout=20) for _ in range(20)]
    for caller in callers:
        caller.sendall(HEALTH)
    server.process.send_signal(signal.SIGTERM)
    for caller in callers:
        with caller:
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(30) == 0
    server.http.close()


def connected_when_it_listens(port: int) -> socket.socket:
    """A connection of the first moment at which there is a socket; a worker to answer it comes later."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_a_stop_while_the_worker_starts_and_nobody_waits_is_an_orderly_end(
    installed: tuple[Omnilab, Credentials],
) -> None:
    omnilab, _ = installed
    server = omnilab.start(workers=2)
    until(lambda: len(server.worker_pids()) == 2)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    assert "Traceback" not in server.log
    server.http.close()


def test_a_stop_answers_who_waits_for_a_worker_that_is_not_there(installed: tuple[Omnilab, Credentials]) -> None:
    """A worker that was killed again and again is replaced ever later, and a stop may come before that."""
    omnilab, _ = installed
    server = omnilab.start()
    server.wait_until_ready()
    for _ in range(4):
        until(lambda: bool(server.worker_pids()))
        [pid] = server.worker_pids()
        os.kill(pid, signal.SIGKILL)
        until(lambda gone=pid: gone not in server.worker_pids())
    with socket.create_connection(("127.0.0.1", omnilab.port), timeout=20) as caller:
        caller.sendall(HEALTH)
        server.process.send_signal(signal.SIGTERM)
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(30) == 0
    server.http.close()


def test_a_running_request_is_waited_for_and_a_second_signal_is_not(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, _ = installed
    head = b"POST /v1/oauth:token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
    for second in (False, True):
        server = omnilab.start()
        server.wait_until_ready()
        with socket.create_connection(("127.0.0.1", omnilab.port)) as caller:
            caller.sendall(head)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: "stopping" in server.log)  # noqa: B023
            assert server.process.poll() is None
            if second:
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(10) == 1
            else:
                caller.sendall(b"{}")
                assert caller.recv(65536).startswith(b"HTTP/1.1 400")
                assert server.process.wait(10) == 0
        server.http.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_taken_port_is_refused_in_words(installed: tuple[Omnilab, Credentials], workers: int) -> None:
    omnilab, _ = installed
    serve = ("serve", "--port", str(omnilab.port))
    with omnilab.serve(workers):
        for again in (1, 2):
            error = omnilab.cli(*serve, "--workers", str(again), expect=3)["error"]
            assert error["code"] == "port_taken"
            assert str(omnilab.port) in error["message"]


def test_an_address_of_another_machine_is_refused_in_words(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, _ = installed
    assert omnilab.cli("serve", "--host", "192.0.2.1", expect=3)["error"]["code"] == "cannot_listen"
    assert omnilab.cli("serve", "--host", "no.such.host.invalid", expect=1)["error"]["code"] == "host_unknown"


def test_with_json_one_document_says_where(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, _ = installed
    command = [str(Path(sys.executable).with_name("omnilab")), "serve", "--json", "--workers", "2", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=omnilab.directory, env=omnilab.environ(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    document = json.loads(process.stdout.readline())
    assert document["workers"] == 2
    assert document["environment"] == "development"
    assert httpx.get(f"{document['url']}/readyz", trust_env=False).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert process.stdout.read() == b""
    process.stdout.close()


def test_another_schema_is_refused_naming_init(tmp_path: Path) -> None:
    omnilab = Omnilab(tmp_path).init()
    with sqlite3.connect(tmp_path / ".omnilab/omnilab.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0000'")
    database.close()
    done = omnilab.run("serve", "--port", str(omnilab.port), "--workers", "2")
    assert done.returncode == 1
    assert done.stderr.count("Error: ") == 1
    assert "omnilab init" in done.stderr


def test_metrics_have_a_port_of_their_own_and_count_for_all_workers(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, _ = installed
    port = free_port()
    with omnilab.serve(workers=2, metrics_port=str(port)) as server:
        for _ in range(20):
            httpx.get(f"{server.url}/no-such-thing", trust_env=False)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        counted = [line for line in text.splitlines() if 'status="404"' in line and not line.startswith("#")]
        assert sum(float(line.split()[-1]) for line in counted) == 20
        # In development the public port tells the same (tests/system/test_production_from_outside.py: only there).
        assert httpx.get(f"{server.url}/metrics", trust_env=False).status_code == 200


def test_a_worker_carries_no_command_line_and_no_migrations() -> None:
    code = "import sys, omnilab.serving.parent; print([name for name in ('typer', 'alembic') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
