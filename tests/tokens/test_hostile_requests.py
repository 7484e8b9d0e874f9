"""Whatever is sent to the token endpoint or its sisters, the answer is an OAuth error in the right form: never 500,
never a token."""

from __future__ import annotations

import asyncio
import json
import operator
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokens.running import TOKEN, Running, running

_NAMES = ["client_id", "client_secret", "audience", "grant_type", "scope", "resource", "foo", "token"]
_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=2),
    st.sampled_from(["client_credentials", "omni_stg_x", "", "\0", "\ud800"]),
)  # fmt: skip
_objects = st.dictionaries(st.sampled_from(_NAMES), _values, max_size=7)
_jsons = _objects.map(lambda value: json.dumps(value).encode())
_forms = st.lists(
    st.tuples(st.sampled_from(_NAMES), st.text(st.characters(exclude_categories=("Cs",)), max_size=20)), max_size=8
).map(lambda pairs: urlencode(pairs).encode())
_bodies = st.one_of(st.binary(max_size=200), _jsons, _forms)
_types = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "application/json; charset=x", "text/plain", ";", "\xff"]
)
_authorizations = st.one_of(
    st.none(),
    st.binary(max_size=60).map(lambda raw: b"Basic " + raw.replace(b"\n", b"").replace(b"\r", b"")),
    st.sampled_from([b"Bearer x", b"Basic", b"Basic Og==", b"Basic YTpi", b"Basic %", b"basic \xff\xff"]),
)
_places = st.builds(
    operator.add,
    st.sampled_from([TOKEN, "/v1/oauth:revoke", "/v1/oauth:introspect"]),
    st.sampled_from(["", "?a=b", "?scope=x", "?%FF"]),
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def it(made_once: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Running]:
    """One platform for all examples; nothing in them can change it."""
    context = running(made_once)
    yield loop.run_until_complete(context.__aenter__())
    loop.run_until_complete(context.__aexit__(None, None, None))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=_bodies, kind=_types, authorization=_authorizations, where=_places)
def test_every_answer_is_an_oauth_error(
    it: Running, loop: asyncio.AbstractEventLoop, body: bytes, kind: str, authorization: bytes | None, where: str
) -> None:
    headers = [(b"content-type", kind.encode("latin-1"))]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    answer = loop.run_until_complete(it.http.post(where, content=body, headers=headers))
    told = answer.json()
    assert answer.status_code in {400, 401, 413, 415, 429}
    assert told.keys() == {"error", "error_description", "error_uri", "request_id"}
    assert told["error"] in {"invalid_request", "invalid_client", "unsupported_grant_type", "slow_down"}
    assert all(" " <= char <= "~" and char not in '"\\' for char in told["error_description"])
    challenged = (answer.headers.get("www-authenticate") or "").startswith("Basic")
    assert challenged == (answer.status_code == 401 and (authorization or b"")[:6].lower() == b"basic ")
