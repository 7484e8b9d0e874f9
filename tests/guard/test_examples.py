"""The examples run as they stand, against an issuer on loopback that serves nothing but its JWK Set."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.guard.jwks_server import JwksServer, jwks_server
from tests.guard.minting import AUDIENCE, JWKS, token

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[JwksServer]:
    with jwks_server(JWKS) as server:
        monkeypatch.setenv("OMNILAB_ISSUER", server.issuer)
        monkeypatch.setenv("OMNILAB_AUDIENCE", AUDIENCE)
        yield server


def fresh(issuer: JwksServer, **claims: Any) -> str:
    now = int(time.time())
    return token(**{"iss": issuer.issuer, "iat": now, "exp": now + 3600} | claims)


def send(app: Any, method: str, path: str, text: str | None = None) -> httpx.Response:
    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api") as client:
            headers = {} if text is None else {"Authorization": f"Bearer {text}"}
            return await client.request(method, path, headers=headers)

    return asyncio.run(main())


@pytest.mark.parametrize("name", ["starlette_app", "fastapi_app"])
def test_an_example_protects_its_calls(name: str, issuer: JwksServer) -> None:
    app = load(name).create_app()
    answer = send(app, "GET", "/bookings", fresh(issuer))
    assert answer.status_code == 200
    assert answer.json() == {"tenant": "acme", "client_id": "cli_one", "bookings": []}
    assert send(app, "GET", "/healthz").status_code == 200
    missing = send(app, "GET", "/bookings")
    assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")
    assert send(app, "GET", "/bookings", fresh(issuer, exp=1)).json()["code"] == "token_expired"
    assert send(app, "GET", "/bookings", fresh(issuer, aud="urn:other")).json()["code"] == "audience_mismatch"
    denied = send(app, "GET", "/bookings", fresh(issuer, scope="bookings:cancel"))
    assert (denied.status_code, denied.json()["code"]) == (403, "endpoint_not_enabled")
    assert len(issuer.requests) == 1  # the keys, once


def test_each_call_of_the_fastapi_example_asks_for_its_own_right(issuer: JwksServer) -> None:
    app = load("fastapi_app").create_app()
    text = fresh(issuer, scope="bookings:read")
    assert send(app, "GET", "/bookings", text).status_code == 200
    assert send(app, "POST", "/bookings/bkg_1/cancel", text).status_code == 403
    answer = send(app, "POST", "/bookings/bkg_1/cancel", fresh(issuer, scope="bookings:cancel"))
    assert answer.json()["booking_status"] == "CANCELLED"
