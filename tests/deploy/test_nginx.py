"""The shipped nginx configuration in front of a real node: TLS, refusals of its own, and a log that tells no secret."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.nginx import Proxy, proxy
from tests.harness import Answer, Credentials, Omnilab, booking_row, free_port

DOMAIN = "omni.test"
PUBLIC, TENANT_HOST = f"login.{DOMAIN}", f"acme.api.{DOMAIN}"
EDGE = re.compile(r"edge-(\d{3})-\d+\.\d{3}-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Scene:
    proxy: Proxy
    omnilab: Omnilab
    client: Credentials


def ask(port: int, request: bytes, *, host: str = PUBLIC, authority: Path | None = None) -> Answer:
    """One request on a connection of its own, by TLS where an authority is given."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    with plain if authority is None else tls(authority).wrap_socket(plain, server_hostname=host) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Answer(int(lines[0].split()[1]), headers, body)


def tls(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


def written(method: str, target: str, body: bytes = b"", host: str = PUBLIC, **headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def token_request(client: Credentials, host: str = PUBLIC) -> bytes:
    body = {"client_id": client.client_id, "client_secret": client.client_secret, "audience": client.audience}
    content = json.dumps(body | {"grant_type": "client_credentials"}).encode()
    return written("POST", "/v1/oauth:token", content, host, Content_Type="application/json")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("nginx")
    settings = {"environment": "staging", "public_url": f"https://{PUBLIC}", "tenant_domain": DOMAIN}
    settings |= {"trusted_proxies": "127.0.0.1/32", "master_key": "a1" * 32}
    (folder / "node").mkdir()
    omnilab = Omnilab(folder / "node", **settings).init()
    omnilab.create_tenant("acme")
    client = omnilab.create_client("acme", allow=("bookings:read",))
    omnilab.import_bookings("acme", [booking_row()])
    with omnilab.serve(), proxy(folder / "nginx", [omnilab.port], PUBLIC, f"*.api.{DOMAIN}") as running:
        yield Scene(running, omnilab, client)


def through(scene: Scene, request: bytes, host: str = PUBLIC) -> Answer:
    return ask(scene.proxy.https_port, request, host=host, authority=scene.proxy.authority)


def line_of(scene: Scene, answer: Answer) -> dict[str, Any]:
    """The line of the log that tells of an answer; nginx writes it once the answer is sent."""
    deadline = time.monotonic() + 10
    while True:
        for line in map(json.loads, scene.proxy.log.splitlines()):
            if line["request_id"] == answer.headers["x-request-id"]:
                return dict(line)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_of_the_proxy(answer: Answer, status: int) -> str:
    """Its id, after checking that the answer is the proxy's own and says so."""
    assert answer.status == status, answer
    found = EDGE.fullmatch(answer.headers["x-request-id"])
    assert found
    assert found[1] == str(status)
    assert answer.document["request_id"] == found[0]
    return found[0]


def test_tokens_and_lists_pass_on_both_kinds_of_hosts(scene: Scene) -> None:
    for host in (PUBLIC, TENANT_HOST):
        answer = through(scene, token_request(scene.client, host), host)
        assert answer.status == 200, answer
        assert not answer.headers["x-request-id"].startswith("edge-")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        bearer = f"Bearer {answer.document['access_token']}"
        target = "/v1/interactions:fetchContactBookings?external_id=contact-1"
        listed = through(scene, written("GET", target, host=host, Authorization=bearer), host)
        assert (listed.status, listed.document["total_count"]) == (200, 1)


def test_old_tls_is_refused_and_a_strange_host_is_omnilabs_to_refuse(scene: Scene) -> None:
    where = ["-connect", f"127.0.0.1:{scene.proxy.https_port}", "-servername", PUBLIC, "-cipher", "ALL:@SECLEVEL=0"]
    for version, taken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        done = subprocess.run(
            ["openssl", "s_client", *where, version], input="", capture_output=True, text=True, check=False
        )
        assert ("alert protocol version" not in done.stderr) is taken, done.stderr
        assert (f"TLSv{version[4:].replace('_', '.')}" in done.stdout and "BEGIN CERTIFICATE" in done.stdout) is taken
    answer = through(scene, written("GET", "/v1/oauth:whoami", host="other.example"))
    assert (answer.status, answer.document["code"]) == (421, "host_unknown")


def test_plain_http_is_refused_and_never_redirected(scene: Scene) -> None:
    for host in (PUBLIC, TENANT_HOST):
        answer = ask(scene.proxy.http_port, token_request(scene.client, host))
        is_of_the_proxy(answer, 403)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "location" not in answer.headers
        assert "https" in answer.document["detail"]


def test_a_body_that_is_too_large_is_refused_in_the_callers_language(scene: Scene) -> None:
    body = b'{"x": "' + b"y" * 20_000 + b'"}'
    problem = through(
        scene, written("POST", "/v1/interactions:cancelContactBooking", body, Content_Type="application/json")
    )
    edge_id = is_of_the_proxy(problem, 413)
    assert problem.headers["content-type"] == "application/problem+json"
    assert (problem.document["code"], problem.document["status"]) == ("body_too_large", 413)
    oauth = through(scene, written("POST", "/v1/oauth:token", body, Content_Type="application/json"))
    is_of_the_proxy(oauth, 413)
    assert oauth.headers["content-type"] == "application/json"
    assert oauth.document["error"] == "invalid_request"
    told = scene.omnilab.cli("audit", "show", edge_id)
    assert (told["answered_by"], told["reached_us"]) == ("proxy", False)


def test_headers_that_only_a_proxy_may_say_do_not_come_through(scene: Scene) -> None:
    """The address in the record is the caller's own, whatever it says of itself."""
    body = b"grant_type=client_credentials&client_id=nobody&client_secret=wrong"
    headers = {"X_Forwarded_For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X_Request_Id": "caller-7"}
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = through(scene, written("POST", "/v1/oauth:token", body, Client_Cert=":MA==:", **headers, **kind))
    assert answer.status == 401
    told = scene.omnilab.cli("audit", "show", answer.headers["x-request-id"])
    assert told["address"] == "127.0.0.1"
    assert told["caller_request_id"] == "caller-7"


def test_the_log_has_paths_and_ids_and_nothing_else_of_a_request(scene: Scene) -> None:
    target = "/v1/interactions:fetchContactBookings?external_id=somebody-private&access_token=hunter2-hunter2"
    headers = {
        "Authorization": "Bearer hunter2-hunter2",
        "Referer": "https://private.example/",
        "User_Agent": "agent-x",
    }
    answer = through(scene, written("GET", target, **headers))
    assert line_of(scene, answer)["path"] == "/v1/interactions:fetchContactBookings"
    for text in ("hunter2", "somebody-private", "private.example", "agent-x", scene.client.client_secret):
        assert text not in scene.proxy.log


def test_without_a_node_and_with_one_that_hangs(scene: Scene, tmp_path: Path) -> None:
    with proxy(tmp_path / "none", [free_port()], PUBLIC) as none:
        answer = ask(none.https_port, token_request(scene.client), authority=none.authority)
        edge_id = is_of_the_proxy(answer, 502)
        assert answer.headers["retry-after"] == "1"
        assert answer.document["error"] == "temporarily_unavailable"
        assert scene.omnilab.cli("audit", "show", edge_id)["reached_us"] is False
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        proxy(tmp_path / "deaf", [deaf.getsockname()[1]], PUBLIC, waits="1s") as hanging,
    ):
        began = time.monotonic()
        answer = ask(hanging.https_port, written("GET", "/v1/oauth:whoami"), authority=hanging.authority)
        is_of_the_proxy(answer, 504)
        assert answer.headers["content-type"] == "application/json"
        assert time.monotonic() - began < 10


def test_what_a_node_did_though_the_proxy_gave_up_is_found(scene: Scene) -> None:
    """The id that the proxy handed on leads from its own answer to the node's record."""
    answer = through(scene, token_request(scene.client))
    line = line_of(scene, answer)
    as_if = f"edge-504-{time.time():.3f}-{line['edge_id'].removeprefix('edge-')}"
    told = scene.omnilab.cli("audit", "show", as_if)
    assert told["reached_us"] is True
    assert [each["request_id"] for each in told["records"]] == [answer.headers["x-request-id"]]
