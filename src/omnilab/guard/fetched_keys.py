"""Keys of a JWK Set behind a URL: fetched once for all waiters, seldom, and kept when the issuer is away.

Promises that strangers cannot make us fetch: an unknown key id leads to at most one fetch in `cooldown_seconds`,
however many are tried. Old keys are used while new ones are fetched, and for a day if that fails. Must not know
tokens.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from math import ceil
from urllib.parse import urlsplit

from omnilab.guard.clock import monotonic_seconds
from omnilab.guard.compact import read_object
from omnilab.guard.errors import GuardError, KeysUnavailableError
from omnilab.guard.keys import Jwks, KeySet, VerificationKey

Fetch = Callable[[str], Awaitable[Jwks]]

MAX_AGE_SECONDS = 300.0  # as long as OmniLab lets its JWK Set be cached
COOLDOWN_SECONDS = 10.0
STALE_SECONDS = 86_400.0
UNKNOWN_SECONDS = 60.0
MAX_UNKNOWN = 1024
MAX_JWKS_BYTES = 262_144
TIMEOUT_SECONDS = 5.0

_log = logging.getLogger("omnilab.guard")


class FetchedKeys:
    """The keys at a URL.

    url: https, or http on this machine's own addresses. fetch: how the JWK Set is got, for tests and special
    networks; it may raise anything. Fetches take place at the first use, every `max_age_seconds` after that while
    there are calls, and for an unknown key id.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Fetch | None = None,
        monotonic: Callable[[], float] = monotonic_seconds,
        max_age_seconds: float = MAX_AGE_SECONDS,
        cooldown_seconds: float = COOLDOWN_SECONDS,
    ) -> None:
        require_safe_url(url)
        self._url = url
        self._fetch = fetch or fetch_jwks
        self._monotonic = monotonic
        self._max_age = max_age_seconds
        self._cooldown = cooldown_seconds
        self._keys = KeySet()
        self._loaded_at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._under_way: asyncio.Task[None] | None = None
        self._unknown: OrderedDict[str, float] = OrderedDict()

    def poll(self) -> None:
        """Begin to renew keys that have grown old; the old ones go on working meanwhile."""
        if self._loaded_at is not None and self._monotonic() - self._loaded_at >= self._max_age and self._may_try():
            self._start()

    async def find(self, key_id: str) -> VerificationKey | None:
        if self._loaded_at is None or self._monotonic() - self._loaded_at >= STALE_SECONDS:
            await self._renew()
            if self._failed:
                raise self._unavailable()
        key = self._keys.get(key_id)
        if key is not None or self._is_known_unknown(key_id):
            return key
        if self._may_try() or self._is_under_way():
            await self._renew()
            key = self._keys.get(key_id)
        if key is None:
            if self._failed:
                # The key may be one that the issuer has just begun to use: to say "malformed" would be a guess.
                raise self._unavailable()
            self._remember_unknown(key_id)
        return key

    async def _renew(self) -> None:
        if self._may_try() or self._is_under_way():
            # Shielded: a caller that goes away must not cut the fetch off for all the others.
            await asyncio.shield(self._start())

    def _start(self) -> asyncio.Task[None]:
        if not self._is_under_way():
            self._tried_at = self._monotonic()
            self._under_way = asyncio.get_running_loop().create_task(self._load())
        assert self._under_way is not None
        return self._under_way

    async def _load(self) -> None:
        try:
            async with asyncio.timeout(2 * TIMEOUT_SECONDS):
                self._keys.replace(await self._fetch(self._url))
        except Exception as error:  # noqa: BLE001 - whatever a network can do, the old keys go on working
            self._failed = True
            _log.warning("signing keys could not be fetched: %s", type(error).__name__)
            return
        self._failed = False
        self._loaded_at = self._monotonic()
        for key_id in [key_id for key_id in self._unknown if self._keys.get(key_id) is not None]:
            del self._unknown[key_id]

    def _may_try(self) -> bool:
        return self._tried_at is None or self._monotonic() - self._tried_at >= self._cooldown

    def _is_under_way(self) -> bool:
        task = self._under_way
        # A task of a loop that was closed will never be done.
        return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()

    def _unavailable(self) -> KeysUnavailableError:
        waited = 0.0 if self._tried_at is None else self._monotonic() - self._tried_at
        return KeysUnavailableError(
            "the signing keys could not be fetched", retry_after_seconds=max(1, ceil(self._cooldown - waited))
        )

    def _is_known_unknown(self, key_id: str) -> bool:
        return self._unknown.get(key_id, 0.0) > self._monotonic()

    def _remember_unknown(self, key_id: str) -> None:
        self._unknown[key_id] = self._monotonic() + UNKNOWN_SECONDS
        self._unknown.move_to_end(key_id)
        while len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)


def require_safe_url(url: str) -> None:
    """Raise ValueError unless nobody on the way can change what comes from this URL."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and _is_own_machine(parts.hostname):
        return
    raise ValueError("jwks_url must be https (http only for localhost and loopback addresses)")


def _is_own_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def fetch_jwks(url: str) -> Jwks:
    """Get a JWK Set over HTTP: no redirects, a bound on size and time. Raises ValueError or httpx.HTTPError."""
    import httpx  # noqa: PLC0415 - late: a guard that was handed its keys never fetches, and is 70 ms sooner there

    async with (
        httpx.AsyncClient(verify=_tls(), timeout=TIMEOUT_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/jwk-set+json, application/json"}) as response,
    ):
        if response.status_code != 200:
            raise ValueError(f"status {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_JWKS_BYTES:
                raise ValueError("the JWK Set is too large")
    try:
        return read_object(bytes(body), "JWK Set")
    except GuardError as error:
        raise ValueError("not a JSON object") from error


@functools.cache
def _tls() -> ssl.SSLContext:
    import httpx  # noqa: PLC0415 - as above

    # Reading the list of authorities takes tens of milliseconds, so once is enough.
    return httpx.create_ssl_context()
