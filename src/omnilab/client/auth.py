"""The token for people's own httpx clients. The same flow, the same single flight, one retry after a 401."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable
from typing import Unpack

import httpx

from omnilab.client.answers import trouble_of, wants_new_token
from omnilab.client.assembly import assemble
from omnilab.client.effects import Answer, Flow
from omnilab.client.errors import ConfigurationError
from omnilab.client.settings import Options, checked_base_url
from omnilab.client.sync_client import described
from omnilab.client.tasks import TaskDoor
from omnilab.client.threads import ThreadDoor
from omnilab.client.token import AccessToken


class OmniLabAuth(httpx.Auth):
    """`auth=` of an `httpx.Client` or `httpx.AsyncClient`; make one and share it. See `Options` for what it takes.

    origins: further places, such as `https://reports.example.com`, that are to be sent the token. It goes to
    `base_url` and to them, and nowhere else: a request to another place is an error, not a leak.
    transport: what the token requests go through. Your own client's hooks and redirects never see the secret.
    Requests raise what `OmniLab` raises when no token can be had. Nothing but the retry after a refused token is
    repeated here, and that only where the body can be sent again.

    >>> import httpx
    >>> from omnilab.client.testing import FakeOmniLab
    >>> fake = FakeOmniLab()
    >>> auth = OmniLabAuth(environ=fake.environ, transport=fake.transport)
    >>> with httpx.Client(base_url=fake.base_url, auth=auth, transport=fake.transport) as client:
    ...     client.get("/v1/oauth:whoami").json()["tenant"]
    'acme'
    """

    def __init__(
        self,
        *,
        origins: Iterable[str] = (),
        transport: httpx.BaseTransport | None = None,
        async_transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._settings, self._caller = assemble(options)
        self._threads = ThreadDoor(self._settings, transport)
        self._tasks = TaskDoor(self._settings, async_transport)
        allow_http = options.get("allow_http", False)
        places = [self._settings.base_url, *(checked_base_url(each, allow_http=allow_http) for each in origins)]
        self._origins = frozenset(_origin(httpx.URL(place)) for place in places)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """For httpx."""
        token = self._threads.run(self._sign(request))
        response = yield request
        if response.status_code in (401, 403):
            response.read()
        if self._gives_up(token, request, response):
            self._threads.run(self._sign(request, since=token.epoch + 1))
            yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """For httpx."""
        token = await self._tasks.run(self._sign(request))
        response = yield request
        if response.status_code in (401, 403):
            await response.aread()
        if self._gives_up(token, request, response):
            await self._tasks.run(self._sign(request, since=token.epoch + 1))
            yield request

    def close(self) -> None:
        """Close the connections of its own token requests. It can be used again."""
        self._threads.close()

    async def aclose(self) -> None:
        """The same for those of this event loop."""
        await self._tasks.close()

    def _sign(self, request: httpx.Request, since: int = 0) -> Flow[AccessToken]:
        origin = _origin(request.url)
        if origin not in self._origins:
            scheme, host, port = origin
            raise ConfigurationError.of(
                f"The token is not sent to {scheme}://{host}:{port}: it is neither base_url nor among origins."
            )
        deadline = self._settings.clock.now() + self._settings.total_seconds
        token = yield from self._caller.tokens.get(deadline, since=since)
        request.headers["Authorization"] = f"Bearer {token.reveal()}"
        return token

    def _gives_up(self, token: AccessToken, request: httpx.Request, response: httpx.Response) -> bool:
        """Whether to send it once more, with a new token."""
        if response.status_code not in (401, 403):
            token.proved = True
            return False
        trouble = trouble_of(Answer(response.status_code, response.headers, response.content), token.text)
        if not wants_new_token(trouble):
            token.proved = True
            return False
        is_new = self._caller.tokens.give_up(token, dead=response.status_code == 401)
        return is_new and isinstance(request.stream, httpx.ByteStream)

    def __repr__(self) -> str:
        return described(self, self._settings)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme)
