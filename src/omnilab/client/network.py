"""What both doors share of httpx: how a request is put together, how a connection is made, how failures are told.

No exception of httpx goes beyond the doors: it holds the request, and with it the token or the secret. What it says
is turned into words here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx

from omnilab.client.effects import Failure, Send
from omnilab.client.settings import Settings

MAX_BODY_BYTES = 16 * 1024 * 1024
_CONNECT_SECONDS = 5.0
T = TypeVar("T")

LANES, LANE_CONNECTIONS = 10, 10
MAX_CONNECTIONS = LANES * LANE_CONNECTIONS
# An idle connection is dropped before an attempt times out, so that the next attempt never meets a dead one again.
_LIMITS = httpx.Limits(
    max_connections=LANE_CONNECTIONS, max_keepalive_connections=LANE_CONNECTIONS, keepalive_expiry=5.0
)
_USER_AGENT: Final = f"omnilab-client/1 python/{sys.version_info.major}.{sys.version_info.minor}"

# What httpx and the standard library would load with the first call. A process that forks while one of its threads is
# loading a module leaves the child waiting for that thread for ever.
httpx.HTTPTransport(verify=False, trust_env=False).close()
"localhost".encode("idna")

#: What an exchange of httpx can end with. OSError: TLS errors that httpx lets through.
ERRORS = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class Lanes(Generic[T]):
    """The connections of one client, in pools of ten: the first with room is taken, so that few are used by few calls.

    httpcore looks through all connections of a pool, and all requests that wait for one, whenever a request ends. With
    2,000 tasks at once and one pool of 100 that took 12 s of CPU here, and they ran out of time. The doors let no more
    than `MAX_CONNECTIONS` requests in at a time.
    """

    __slots__ = ("_make", "_busy", "transports")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._busy: list[int] = []
        self.transports: list[T] = []

    def take(self) -> tuple[int, T]:
        """A pool with room, and its number. Not to be called by two threads at a time."""
        number = next((number for number, busy in enumerate(self._busy) if busy < LANE_CONNECTIONS), len(self._busy))
        if number == len(self._busy):
            self.transports.append(self._make())
            self._busy.append(0)
        self._busy[number] += 1
        return number, self.transports[number]

    def give_back(self, number: int) -> None:
        """The request has ended."""
        self._busy[number] -= 1


def maker(transport: Callable[..., T], settings: Settings) -> Callable[[], T]:
    """Makes one pool after the other with the same options."""
    options: dict[str, Any] = {}

    def make() -> T:
        options.update(options or transport_options(settings))
        return transport(**options)

    return make


def transport_options(settings: Settings) -> dict[str, Any]:
    """Arguments for httpx's transports. Proxies and authorities come from the environment, as people expect.

    Plain http stays on this machine: a proxy would have to be told the secret in clear.
    """
    if not settings.base_url.startswith("https:"):
        return {"limits": _LIMITS, "trust_env": False, "verify": False}
    # Reading the list of authorities takes 30 ms: once for all pools.
    return {"limits": _LIMITS, "verify": httpx.create_ssl_context(), "proxy": proxy_of(settings.base_url)}


def proxy_of(base_url: str) -> str | None:
    """The environment's proxy for an https URL, as a URL; None where there is none for this host."""
    host = httpx.URL(base_url).host
    if proxy_bypass(host):
        return None
    found = getproxies()
    proxy = found.get("https") or found.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def request_of(send: Send, settings: Settings, now: float) -> httpx.Request:
    """The request on the wire. Its time-outs end with the call's own time."""
    headers = [("User-Agent", _USER_AGENT), ("Accept", "application/json"), ("Accept-Encoding", "identity")]
    if send.token is not None:
        headers.append(("Authorization", f"Bearer {send.token.reveal()}"))
    if send.body is not None:
        headers.append(("Content-Type", "application/json"))
    if send.idempotency_key is not None:
        headers.append(("Idempotency-Key", send.idempotency_key))
    left = max(0.001, send.deadline - now)
    attempt = min(settings.timeout_seconds, left)
    timeout = {"connect": min(_CONNECT_SECONDS, attempt), "read": attempt, "write": attempt, "pool": left}
    return httpx.Request(
        send.method,
        settings.base_url + send.target,
        headers=headers,
        content=None if send.body is None else send.body.reveal(),
        extensions={"timeout": timeout},
    )


def failure_of(error: Exception) -> Failure:
    """What happened, in words that quote nothing of the request."""
    sent = not isinstance(error, _NEVER_SENT)
    if isinstance(error, httpx.ConnectError):
        # The system's words: refused, no such host, certificate not trusted.
        return Failure("connect", f"No connection: {str(error)[:200] or 'no reason given'}.", sent)
    if isinstance(error, httpx.PoolTimeout):
        return no_room()
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", "No connection in time." if not sent else "No answer in time.", sent)
    if isinstance(error, httpx.LocalProtocolError | httpx.InvalidURL | httpx.DecodingError | httpx.UnsupportedProtocol):
        # Their words quote headers and addresses.
        return Failure("unreadable", f"The call could not be made or read ({type(error).__name__}).", sent)
    return Failure("broken", f"The connection broke off ({type(error).__name__}).", sent)


def no_room() -> Failure:
    """All connections were busy until the call's time was over."""
    return Failure("timeout", "No connection was free in time.", sent=False)


def too_large() -> Failure:
    """The answer is larger than any of OmniLab's."""
    return Failure("unreadable", f"The answer is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB.", sent=True)


def too_late() -> Failure:
    """The answer trickles in, and the call's time is over."""
    return Failure("timeout", "The answer was not complete in time.", sent=True)
