"""No secret and no token in any repr, log, exception or traceback, whatever goes wrong."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from omnilab.client import OmniLab, OmniLabAuth, OmniLabError
from omnilab.client.bookings import WHOAMI, whoami_call
from omnilab.client.effects import Answer, Failure
from omnilab.client.hidden import Hidden
from omnilab.client.testing import FakeOmniLab
from tests.client.by_hand import Stage, granted


def words_of(fake: FakeOmniLab) -> list[str]:
    return [fake.client_secret, *fake.tokens._live]


def everything_told(error: BaseException) -> str:
    """What the most talkative error reporter shows: the chain, every frame, the repr of every local variable."""
    told = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        shown = traceback.TracebackException.from_exception(link, capture_locals=True)
        told += [repr(link), str(link), repr(vars(link)), *shown.format(chain=True)]
        link = link.__cause__ or link.__context__
    return "\n".join(told)


class Broken(httpx.BaseTransport):
    """Raises what httpx raises, with the request in it and its headers quoted, as h11 does."""

    def __init__(self, fake: FakeOmniLab, kind: Callable[..., Exception], call: str) -> None:
        self._fake, self._kind, self._call = fake, kind, call

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._call not in str(request.url):
            return self._fake.transport.handle_request(request)
        quoted = f"Illegal header value {request.headers.get('authorization')!r} in {request.content!r}"
        error = self._kind(quoted)
        if isinstance(error, httpx.RequestError):
            error.request = request
        raise error


KINDS: list[Callable[..., Exception]] = [
    httpx.ReadTimeout,
    httpx.LocalProtocolError,
    httpx.RemoteProtocolError,
    httpx.ReadError,
    httpx.DecodingError,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
    OSError,
]


@pytest.fixture(autouse=True)
def all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    return


@pytest.mark.parametrize("call", ["oauth:token", "oauth:whoami"])
@pytest.mark.parametrize("kind", KINDS)
def test_errors_hold_nothing_of_the_request(
    kind: Callable[..., Exception], call: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeOmniLab()
    client = OmniLab(environ=fake.environ, transport=Broken(fake, kind, call), total_seconds=0.05)
    with pytest.raises(OmniLabError) as caught:
        client.whoami()
    told = everything_told(caught.value) + caplog.text + repr(client)
    assert [word for word in words_of(fake) if word in told] == []
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_tracebacks_of_tasks_hold_nothing_either(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeOmniLab()
    fake.answer_next("endpoint_not_enabled", times=2)

    async def main() -> BaseException:
        async with fake.async_client() as client:
            (error, _) = await asyncio.gather(client.whoami(), client.whoami(), return_exceptions=True)
            assert isinstance(error, OmniLabError)
            return error

    told = everything_told(asyncio.run(main())) + caplog.text
    assert [word for word in words_of(fake) if word in told] == []


@pytest.mark.parametrize("call", ["token", "whoami"])
def test_an_answer_that_quotes_credentials_is_masked(call: str) -> None:
    fake = FakeOmniLab()
    fake.client_secret = "a legacy secret of no known form"
    transport = Quoting(fake, call)
    with pytest.raises(OmniLabError) as caught:
        OmniLab(environ=fake.environ, transport=transport, total_seconds=0.1).whoami()
    assert "…" in str(caught.value)
    assert [word for word in words_of(fake) if word in everything_told(caught.value)] == []


class Quoting(httpx.BaseTransport):
    """A debugging proxy that says what it was sent."""

    def __init__(self, fake: FakeOmniLab, call: str) -> None:
        self._fake, self._call = fake, call

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._call not in str(request.url):
            return self._fake.transport.handle_request(request)
        said = f"got {request.headers.get('authorization')} and {self._fake.client_secret}"
        body = {"code": "request_malformed", "detail": said, "errors": [{"field": "x", "detail": said}]}
        return httpx.Response(400, json=body)


def test_whatever_the_client_keeps_is_masked() -> None:
    fake = FakeOmniLab()
    auth = fake.auth()
    client = fake.client()
    client.whoami()
    with httpx.Client(base_url=fake.base_url, auth=auth, transport=fake.transport) as http:
        http.get("/v1/oauth:whoami")
    stack: list[Any] = [client, auth]
    seen: set[int] = set()
    told = []
    while stack:
        each = stack.pop()
        if id(each) in seen or not type(each).__module__.startswith("omnilab.client"):
            continue
        if "testing" in type(each).__module__:
            continue
        seen.add(id(each))
        told += [repr(each), str(each)]
        stack += gc.get_referents(each)
        stack += [inner for held in gc.get_referents(each) if isinstance(held, dict) for inner in held.values()]
    assert len(told) > 20
    assert [word for word in words_of(fake) if word in "\n".join(told)] == []


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_hidden_values_do_not_travel(copied: Callable[[object], object]) -> None:
    with pytest.raises(TypeError):
        copied(Hidden("secret"))


def test_a_flow_passes_nothing_readable_along() -> None:
    stage = Stage()
    stage.token_replies = [granted("eyJ.the.token")]
    told = []
    flow = stage.caller.call(whoami_call(), WHOAMI)
    reply: Any = None
    with suppress(StopIteration, OmniLabError):
        while True:
            effect = flow.send(reply)
            told.append(repr(effect))
            reply = stage.perform(effect)
            told.append(repr(reply))
    assert len(told) >= 4
    assert not [text for text in told if "eyJ.the.token" in text or "thesecret" in text]


def test_answers_and_failures_say_little() -> None:
    assert repr(Answer(200, {}, b"secret body")) == "<answer 200, 11 bytes>"
    assert "timeout" in repr(Failure("timeout", "No answer in time.", sent=True))


def test_the_token_goes_to_named_places_only() -> None:
    fake = FakeOmniLab()
    auth = OmniLabAuth(environ=fake.environ, transport=fake.transport, origins=["https://reports.example"])
    sent: list[tuple[str, bool]] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        sent.append((request.url.host, "authorization" in request.headers))
        location = {"location": "https://evil.example/"} if request.url.path == "/away" else {}
        return httpx.Response(302 if location else 200, headers=location)

    with httpx.Client(auth=auth, transport=httpx.MockTransport(elsewhere), follow_redirects=True) as http:
        for url in ("https://evil.example/", "http://reports.example/", "https://reports.example:444/"):
            with pytest.raises(OmniLabError, match="not sent to"):
                http.get(url)
        http.get("https://reports.example/")
        http.get("https://reports.example/away")
    assert sent == [("reports.example", True), ("reports.example", True), ("evil.example", False)]
