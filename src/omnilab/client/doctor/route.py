"""The way to the platform below HTTP: name, connection, proxy, TLS. Sends nothing but what these need."""

from __future__ import annotations

import base64
import socket
import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

import httpx

from omnilab.client.doctor.findings import Finding, failed, passed
from omnilab.client.network import proxy_of
from omnilab.client.settings import Settings, is_own_machine

TIMEOUT_SECONDS = 5.0
#: Beyond this a machine's clock is wrong and not merely late.
MOST_SKEW_SECONDS = 30.0
_AUTHORITY = (
    "Install the authority's certificate, or name its file in SSL_CERT_FILE. A company's proxy that opens TLS has one "
    "of its own; do not switch verification off."
)
_CLOCK_FIX = "Set this machine's clock and keep it right: `timedatectl set-ntp true`, or the host's time service."


class Route:
    """One way to the platform; `proxy` is that of the environment, if there is one for this host."""

    def __init__(self, settings: Settings, wall_clock: Callable[[], float]) -> None:
        parts = urlsplit(settings.base_url)
        self.host = parts.hostname or ""
        self.is_tls = parts.scheme == "https"
        self.port = parts.port or (443 if self.is_tls else 80)
        self._wall_clock = wall_clock
        self.proxy = urlsplit(proxy_of(settings.base_url) or "") if self.is_tls else urlsplit("")
        self._through = self.proxy.hostname or ""
        self._first = (self._through, self.proxy.port or 80) if self._through else (self.host, self.port)

    def dns(self) -> Finding:
        """Whether the name leads anywhere."""
        host, port = self._first
        began = time.perf_counter()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            what = f"the proxy {host}" if self._through else host
            fix = "Compare the host with the base_url handed over, letter by letter; then look at this machine's DNS."
            if self._through:
                fix = "Correct HTTPS_PROXY, or put the platform's host into NO_PROXY."
            return failed("dns", "host_not_found", f"There is no address for {what}.", fix)
        addresses = sorted({str(each[4][0]) for each in found})
        what = f"proxy {host}" if self._through else host
        return passed("dns", f"{what} is {', '.join(addresses[:4])}", milliseconds=_since(began))

    def connection(self) -> Finding:
        """Whether something listens there."""
        host, port = self._first
        began = time.perf_counter()
        try:
            socket.create_connection((host, port), TIMEOUT_SECONDS).close()
        except OSError as error:
            return self._no_connection(error)
        through = "the proxy " if self._through else ""
        return passed("connection", f"{through}{host}:{port} takes connections", milliseconds=_since(began))

    def tls(self) -> Finding:
        """Whether the connection is private, and whose it is."""
        if not self.is_tls:
            where = "to this machine" if is_own_machine(self.host) else "to another machine, as allowed by you"
            return passed("tls", f"plain http {where}")
        began = time.perf_counter()
        try:
            with self._connected() as bare, _context().wrap_socket(bare, server_hostname=self.host) as wrapped:
                until = str((wrapped.getpeercert() or {}).get("notAfter", "an unknown time"))
                words = f"{wrapped.version()}, certificate for {self.host} good until {until}"
                return passed("tls", words, milliseconds=_since(began))
        except ssl.SSLCertVerificationError as error:
            return self._untrusted(error)
        except ssl.SSLError as error:
            return self._no_tls(error)
        except _ProxyRefusedError as error:
            fix = "Ask whoever runs the proxy to let this host through (407: give it user and password in HTTPS_PROXY)."
            return failed("connection", "proxy_refused", f"The proxy {self._through} answered {error}.", fix)
        except OSError as error:
            fix = "Ask whoever runs the host, or what stands before it (load balancer, firewall), why it ends TLS."
            return failed("tls", "tls_broken", f"The connection ended during TLS ({type(error).__name__}).", fix)

    def speaks_tls(self) -> bool:
        """Whether the port of a plain http URL speaks TLS after all."""
        try:
            with self._connected() as bare, _trusting().wrap_socket(bare, server_hostname=self.host):
                return True
        except OSError:
            return False

    def _connected(self) -> socket.socket:
        connection = socket.create_connection(self._first, TIMEOUT_SECONDS)
        if not self._through:
            return connection
        lines = [f"CONNECT {self.host}:{self.port} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        if self.proxy.username:
            pair = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        head = _head(connection)
        status = head.partition(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            connection.close()
            raise _ProxyRefusedError(status.partition(" ")[2][:60] or "nothing")
        return connection

    def _no_connection(self, error: OSError) -> Finding:
        host, port = self._first
        where = f"{'the proxy ' if self._through else ''}{host}:{port}"
        if isinstance(error, ConnectionRefusedError):
            fix = "Is the port right, and does the service run? In development: omnilab serve."
            return failed("connection", "connection_refused", f"Nothing listens at {where}.", fix)
        if isinstance(error, TimeoutError):
            fix = "A firewall drops it most likely: have outgoing connections to this host and port allowed."
            found = f"{where} did not answer within {TIMEOUT_SECONDS:g} s."
            return failed("connection", "connection_timeout", found, fix)
        fix = "Look at this machine's network: its route, its VPN, its firewall."
        return failed("connection", "connection_failed", f"No way to {where}: {error.strerror or 'no reason'}.", fix)

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> Finding:
        code = error.verify_code
        if code in (9, 10):
            return self._out_of_date("not valid yet" if code == 9 else "expired")
        if code in (62, 64):
            found = f"The certificate is for another name than {self.host}."
            fix = "Use the host of the base_url handed over; or have the certificate of what answers there corrected."
            return failed("tls", "certificate_wrong_name", found, fix)
        if code in (18, 19, 20, 21):
            found = f"The certificate of {self.host} comes from an authority that this machine does not know."
            return failed("tls", "certificate_unknown_authority", found, _AUTHORITY)
        found = f"The certificate of {self.host} is not accepted: {error.verify_message}."
        return failed("tls", "certificate_refused", found, "Have whoever runs the host correct it.")

    def _out_of_date(self, words: str) -> Finding:
        """A certificate out of its time, or a clock that is."""
        skew = self._skew()
        if skew is not None and abs(skew) > MOST_SKEW_SECONDS:
            return clock_finding(skew)
        code = "certificate_expired" if words == "expired" else "certificate_not_valid_yet"
        fix = "Have whoever runs the host renew the certificate. This machine's clock is right."
        return failed("tls", code, f"The certificate of {self.host} is {words}.", fix)

    def _skew(self) -> float | None:
        """How far the clock is off, asked without trust and without saying anything."""
        request = f"GET /healthz HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n"
        try:
            with self._connected() as bare, _trusting().wrap_socket(bare, server_hostname=self.host) as wrapped:
                wrapped.sendall(request.encode())
                lines = _head(wrapped).decode("latin-1").lower().split("\r\n")
        except OSError:
            return None
        dates = [line.partition(":")[2].strip() for line in lines if line.startswith("date:")]
        return skew_of(dates[0], self._wall_clock()) if dates else None

    def _no_tls(self, error: ssl.SSLError) -> Finding:
        plain = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE")
        if error.reason in plain:
            found = f"{self.host}:{self.port} speaks plain http and not TLS."
            fix = "Correct the port of base_url (https is 443). In development on this machine use http://."
            return failed("tls", "plain_http", found, fix)
        fix = "TLS 1.2 or newer is needed. Ask whoever runs the host, or this machine's security rules."
        return failed("tls", "tls_broken", f"TLS could not be agreed on ({error.reason or 'no reason given'}).", fix)


class _ProxyRefusedError(Exception):
    """The proxy does not let the connection through."""


def skew_of(date: str, now: float) -> float | None:
    """Seconds that this machine's clock is ahead of an answer's `Date`, which counts whole seconds."""
    try:
        return now - (parsedate_to_datetime(date).timestamp() + 0.5)
    except (TypeError, ValueError):
        return None


def clock_finding(skew: float) -> Finding:
    """This machine's clock against the platform's."""
    if abs(skew) <= MOST_SKEW_SECONDS:
        return passed("clock", f"within {max(1, round(abs(skew)))} s of the platform's")
    off = f"{abs(skew):.0f} s" if abs(skew) < 300 else f"{abs(skew) / 60:.0f} min"
    found = f"This machine's clock is {off} {'ahead of' if skew > 0 else 'behind'} the platform's."
    return failed("clock", "clock_off", f"{found} This SDK does not mind; TLS, JWT libraries and logs do.", _CLOCK_FIX)


def _head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and len(head) < 16_384:
        more = connection.recv(4096)
        if not more:
            break
        head += more
    return head


def _context() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # what the SDK itself trusts


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
