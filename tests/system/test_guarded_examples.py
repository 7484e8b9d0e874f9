"""The example applications, protected with nothing but the issuer's JWK Set, given tokens of a real server."""

from __future__ import annotations

import pytest

from tests.conftest import Served
from tests.guard.test_examples import load, send


@pytest.mark.parametrize("name", ["starlette_app", "fastapi_app"])
def test_a_token_of_the_real_server_opens_an_example(
    name: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = served.client
    monkeypatch.setenv("OMNILAB_ISSUER", client.issuer)
    monkeypatch.setenv("OMNILAB_AUDIENCE", client.audience)
    app = load(name).create_app()
    token = served.server.token(client)
    answer = send(app, "GET", "/bookings", token)
    assert (answer.status_code, answer.json()["client_id"]) == (200, client.client_id)
    narrowed = served.server.token(client, scope="bookings:cancel")
    assert send(app, "GET", "/bookings", narrowed).json()["code"] == "endpoint_not_enabled"
    assert send(app, "GET", "/bookings", token[:-2]).json()["code"] == "token_malformed"
    monkeypatch.setenv("OMNILAB_AUDIENCE", "urn:omnilab:development:globex")
    assert send(load(name).create_app(), "GET", "/bookings", token).json()["code"] == "audience_mismatch"


def test_the_gate_of_the_real_server_refuses_what_the_contract_says(served: Served) -> None:
    token, path = served.server.token(served.client), "/v1/interactions:fetchContactBookings?external_id=contact-1"
    http = served.server.http

    def code(*values: str, query: str = "") -> tuple[int, str, str | None]:
        answer = http.get(path + query, headers=[("Authorization", value) for value in values])
        return answer.status_code, answer.json().get("code", ""), answer.headers.get("www-authenticate")

    resource = f"{served.server.url}/.well-known/oauth-protected-resource"
    invalid = f'Bearer error="invalid_token", resource_metadata="{resource}"'
    assert code(f"bearer {token}") == (200, "", None)
    assert code() == (401, "token_missing", "Bearer")
    assert code("Basic eDp5") == (401, "token_missing", "Bearer")
    assert code(f"Bearer {token[:-2]}") == (401, "token_malformed", invalid)
    assert code(f"Bearer {served.client.client_secret}") == (401, "token_malformed", invalid)
    assert code(f"Bearer {token}", f"Bearer {token}") == (400, "request_malformed", None)
    assert code(f"Bearer {token}", query=f"&access_token={token}") == (400, "request_malformed", None)
    assert code(query=f"&access_token={token}") == (400, "request_malformed", None)
    narrowed = served.server.token(served.client, scope="bookings:cancel")
    assert code(f"Bearer {narrowed}") == (403, "token_predates_grant", 'Bearer error="insufficient_scope"')
