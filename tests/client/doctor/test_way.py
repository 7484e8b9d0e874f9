"""The way to the platform: of each fault on it, that one is named and no other."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import timedelta

import pytest

from omnilab.client.doctor import CHECKS
from omnilab.clock import SystemClock
from tests.client.doctor.clinic import Ask, Clinic, Fault
from tests.client.doctor.fronts import listening, proxying

HTML = "<html><head><title>Corporate gateway</title></head><body>Log in</body></html>"


def test_where_nothing_is_wrong_every_line_passes(ask: Ask) -> None:
    told = ask()
    assert (told.code, told.cause, told.report["healthy"]) == (0, None, True)
    assert told.of("pass") == list(CHECKS)
    assert told.text.endswith("Nothing is wrong.\n")
    found = {each["check"]: each["found"] for each in told.report["checks"]}
    assert "acme" in found["environment"]
    assert "bookings:cancel" in found["endpoints"]


def test_behind_tls_and_a_proxy_every_line_passes(clinic: Clinic, ask: Ask) -> None:
    trusted = {"SSL_CERT_FILE": str(clinic.authority.path)}
    url = clinic.tls(clinic.authority)
    told = ask(OMNILAB_BASE_URL=url, **trusted)
    assert (told.code, told.of("pass")) == (0, list(CHECKS))
    proxy = clinic.stack.enter_context(listening(proxying))
    told = ask(OMNILAB_BASE_URL=url, HTTPS_PROXY=f"http://ada:lovelace@127.0.0.1:{proxy}", NO_PROXY="", **trusted)
    assert (told.code, told.of("pass")) == (0, list(CHECKS))
    assert "the proxy 127.0.0.1" in told.text
    assert "lovelace" not in told.text


def at(url: Callable[[Clinic], str]) -> Callable[[Clinic], dict[str, str | None]]:
    return lambda clinic: {"OMNILAB_BASE_URL": url(clinic), "SSL_CERT_FILE": str(clinic.authority.path)}


WAYS = {
    "a host that is not there": Fault(at(lambda _: "https://acme.api.omnl.invalid"), "dns", "host_not_found"),
    "nothing listens": Fault(at(lambda _: "http://127.0.0.1:1"), "connection", "connection_refused"),
    "an authority nobody knows": Fault(at(lambda c: c.tls(c.stranger)), "tls", "certificate_unknown_authority"),
    "a certificate for another name": Fault(
        at(lambda c: c.tls(c.authority, "elsewhere.example")), "tls", "certificate_wrong_name"
    ),
    "a certificate that has expired": Fault(
        at(lambda c: c.tls(c.authority, since=timedelta(days=-9), until=timedelta(days=-1))),
        "tls",
        "certificate_expired",
    ),
    "TLS spoken to plain http": Fault(at(lambda c: f"https://localhost:{c.port}"), "tls", "plain_http"),
    "plain http spoken to TLS": Fault(at(lambda c: c.tls(c.authority).replace("https", "http")), "tls", "tls_expected"),
    "a gateway's page": Fault(
        at(lambda c: c.instead("200 OK", HTML, Content_Type="text/html", Server="gate/7")), "platform", "not_omnilab"
    ),
    "a gateway that finds nobody behind it": Fault(
        at(lambda c: c.instead("502 Bad Gateway", HTML, Content_Type="text/html")), "platform", "not_omnilab"
    ),
    "another JSON API": Fault(
        at(lambda c: c.instead("404 Not Found", '{"message": "no"}', Content_Type="application/json")),
        "platform",
        "not_omnilab",
    ),
    "a redirect": Fault(
        at(lambda c: c.instead("302 Found", Location="https://login.example/?next=1")), "platform", "redirected"
    ),
    "a connection that ends": Fault(
        at(lambda c: f"http://127.0.0.1:{c.stack.enter_context(listening(lambda _: None))}"), "platform", "no_answer"
    ),
    "a proxy that is not there": Fault(
        lambda c: {"OMNILAB_BASE_URL": "https://acme.api.example.com", "HTTPS_PROXY": "http://127.0.0.1:1"},
        "connection",
        "connection_refused",
    ),
    "a proxy that wants a password": Fault(
        lambda c: {
            "OMNILAB_BASE_URL": "https://acme.api.example.com",
            "HTTPS_PROXY": c.instead("407 Proxy Authentication Required"),
        },
        "connection",
        "proxy_refused",
    ),
}


@pytest.mark.parametrize("fault", WAYS)
def test_the_way_to_the_platform(clinic: Clinic, ask: Ask, fault: str) -> None:
    environ, check, code = WAYS[fault]
    told = ask(**environ(clinic))
    assert (told.code, told.cause, told.of("fail")) == (1, (check, code), [check])
    assert "token" in told.of("skip")
    assert told.report["cause"]["fix"]


def test_what_stands_in_the_platforms_place_is_described(clinic: Clinic, ask: Ask) -> None:
    told = ask(**WAYS["a gateway's page"].environ(clinic))
    for word in ("status 200", "text/html", "gate/7", "Corporate gateway"):
        assert word in told.report["cause"]["found"]
    told = ask(**WAYS["a redirect"].environ(clinic))
    assert "https://login.example/" in told.report["cause"]["found"]
    assert "next=1" not in told.text


@pytest.mark.parametrize(("seconds", "words"), [(90, "s ahead of"), (-90, "s behind"), (600, "10 min ahead of")])
def test_a_clock_that_is_off(ask: Ask, monkeypatch: pytest.MonkeyPatch, seconds: int, words: str) -> None:
    real = SystemClock.now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda self: real(self) + seconds * 1000)
    told = ask()
    assert (told.code, told.cause, told.of("fail")) == (1, ("clock", "clock_off"), ["clock"])
    assert words in told.report["cause"]["found"]
    assert "token" in told.of("pass")  # the SDK does not mind


def test_a_certificate_that_only_a_wrong_clock_calls_expired(
    clinic: Clinic, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS believes the machine's clock, and it is the clock that is wrong."""
    url = clinic.tls(clinic.authority, since=timedelta(days=-9), until=timedelta(days=-1))
    real = SystemClock.now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda self: real(self) + 2 * 86_400_000)
    told = ask(OMNILAB_BASE_URL=url, SSL_CERT_FILE=str(clinic.authority.path))
    assert told.cause == ("clock", "clock_off")


def test_the_secret_goes_to_nobody_but_omnilab(clinic: Clinic, ask: Ask) -> None:
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")

    port = clinic.stack.enter_context(listening(listen))
    assert ask(OMNILAB_BASE_URL=f"http://127.0.0.1:{port}").cause == ("platform", "not_omnilab")
    assert heard
    assert not [each for each in heard if clinic.good.client_secret.encode() in each or b"oauth:token" in each]
