"""What both doors share of httpx: how a request is put together, how a connection is made, how failures are told.

No exception of httpx goes beyond the doors: it holds the request, and with it the token or the secret. What it says
is turned into words here.
"""

from __future__ import annotations

import sys
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import httpx

from omnilab.client.effects import Failure, Send
from omnilab.client.settings import Settings

MAX_BODY_BYTES = 16 * 1024 * 1024
_CONNECT_SECONDS = 5.0
# An idle connection is dropped before an attempt times out, so that the next attempt never meets a dead one again.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=5.0)
_USER_AGENT: Final = f"omnilab-client/1 python/{sys.version_info.major}.{sys.version_info.minor}"

#: What an exchange of httpx can end with. OSError: TLS errors that httpx lets through.
ERRORS = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


def transport_options(settings: Settings) -> dict[str, Any]:
    """Arguments for httpx's transports. Proxies and authorities come from the environment, as people expect.

    Plain http stays on this machine: a proxy would have to be told the secret in clear.
    """
    encrypted = settings.base_url.startswith("https:")
    options: dict[str, Any] = {"limits": _LIMITS, "trust_env": encrypted, "verify": encrypted}
    return options | ({"proxy": _proxy(settings.base_url)} if encrypted else {})


def _proxy(base_url: str) -> str | None:
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
        return Failure("timeout", "No connection was free in time.", sent)
    if isinstance(error, httpx.TimeoutException):
        return Failure("timeout", "No connection in time." if not sent else "No answer in time.", sent)
    if isinstance(error, httpx.LocalProtocolError | httpx.InvalidURL | httpx.DecodingError | httpx.UnsupportedProtocol):
        # Their words quote headers and addresses.
        return Failure("unreadable", f"The call could not be made or read ({type(error).__name__}).", sent)
    return Failure("broken", f"The connection broke off ({type(error).__name__}).", sent)


def too_large() -> Failure:
    """The answer is larger than any of OmniLab's."""
    return Failure("unreadable", f"The answer is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB.", sent=True)


def too_late() -> Failure:
    """The answer trickles in, and the call's time is over."""
    return Failure("timeout", "The answer was not complete in time.", sent=True)
