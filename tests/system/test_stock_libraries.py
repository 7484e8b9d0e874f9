"""OAuth libraries as integrators have them get a token and list bookings without a word about us."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.conftest import Served
from tests.harness import bearer

NODE = Path(__file__).resolve().parents[1] / "node"
LIST = "/v1/interactions:fetchContactBookings"


def assert_first_three(document: dict[str, Any]) -> None:
    assert document["total_count"] == 3
    assert [booking["booking_id"] for booking in document["bookings"]] == [
        "bkg_00000001",
        "bkg_00000002",
        "bkg_00000003",
    ]


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("said", [{"audience": "stated"}, {}], ids=["audience", "no-audience"])
def test_authlib(served: Served, method: str, said: dict[str, str]) -> None:
    client = served.client
    extra = {"audience": client.audience} if said else {}
    who = (client.client_id, client.client_secret)
    with AuthlibSession(*who, token_endpoint_auth_method=method) as http:
        http.trust_env = False
        token = http.fetch_token(client.token_url, grant_type="client_credentials", **extra)
        answer = http.get(client.base_url + LIST, params={"external_id": "contact-1"}, timeout=10)
    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 3600
    assert answer.status_code == 200, answer.text
    assert_first_three(answer.json())


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_introspects_and_revokes(served: Served, method: str) -> None:
    client = served.client
    who = (client.client_id, client.client_secret)
    with AuthlibSession(*who, token_endpoint_auth_method=method, revocation_endpoint_auth_method=method) as http:
        http.trust_env = False
        metadata = requests.get(f"{client.issuer}/.well-known/oauth-authorization-server", timeout=10).json()
        token = http.fetch_token(client.token_url, grant_type="client_credentials")["access_token"]
        asked = {"url": metadata["introspection_endpoint"], "token": token}
        before = http.introspect_token(**asked, token_type_hint="access_token")
        ended = http.revoke_token(metadata["revocation_endpoint"], token=token, token_type_hint="access_token")
        after = http.introspect_token(**asked)
    assert before.json()["active"] is True
    assert before.json()["client_id"] == client.client_id
    assert ended.status_code == 200
    assert after.json() == {"active": False}


def test_oauthlib_prepares_a_revocation(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    client = served.client
    token = served.server.token(client)
    prepare = BackendApplicationClient(client_id=client.client_id).prepare_token_revocation_request
    url, headers, body = prepare(f"{client.issuer}/v1/oauth:revoke", token, token_type_hint="access_token")
    auth = HTTPBasicAuth(client.client_id, client.client_secret)
    assert requests.post(url, data=body, headers=headers, auth=auth, timeout=10).status_code == 200
    answer = served.server.list_bookings(token, "contact-1")
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")


@pytest.mark.parametrize("method", ["basic", "body"])
def test_requests_oauthlib(served: Served, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # oauthlib refuses http:// unless told that this is a test.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    client = served.client
    how: dict[str, Any] = (
        {"auth": HTTPBasicAuth(client.client_id, client.client_secret)}
        if method == "basic"
        else {"client_id": client.client_id, "client_secret": client.client_secret, "include_client_id": True}
    )
    with OAuth2Session(client=BackendApplicationClient(client_id=client.client_id)) as http:
        http.trust_env = False
        token = http.fetch_token(client.token_url, **how)
        answer = http.get(client.base_url + LIST, params={"external_id": "contact-1"}, timeout=10)
    assert token["token_type"] == "Bearer"
    assert answer.status_code == 200, answer.text
    assert_first_three(answer.json())


def curl(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.parametrize("form", ["json", "form", "basic"])
def test_plain_curl(served: Served, form: str) -> None:
    client = served.client
    body = {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "audience": client.audience,
        "grant_type": "client_credentials",
    }
    fields = [word for name, value in body.items() for word in ("--data-urlencode", f"{name}={value}")]
    how = {
        "json": ["--json", json.dumps(body)],
        "form": fields,
        "basic": ["--user", f"{client.client_id}:{client.client_secret}", "-d", "grant_type=client_credentials"],
    }[form]
    token = curl(client.token_url, *how)
    assert set(token) == {"access_token", "token_type", "expires_in"}
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)

    header = f"Authorization: {bearer(token['access_token'])['Authorization']}"
    assert_first_three(curl(f"{client.base_url}{LIST}?external_id=contact-1", "--header", header))


@pytest.mark.parametrize("method", ["post", "basic"])
def test_openid_client_discovers_everything_from_the_printed_issuer(served: Served, method: str) -> None:
    client = served.client
    given = {
        "ISSUER": client.issuer,
        "CLIENT_ID": client.client_id,
        "CLIENT_SECRET": client.client_secret,
        "AUDIENCE": client.audience,
        "BASE_URL": client.base_url,
        "CONTACT": "contact-1",
        "METHOD": method,
    }
    done = subprocess.run(
        ["node", "discover.mjs"],
        cwd=NODE,
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["issuer"] == client.issuer
    assert found["token_endpoint"] == client.token_url
    assert (found["token_type"].lower(), found["expires_in"]) == ("bearer", 3600)
    assert found["status"] == 200
    assert_first_three(found["body"])
    assert (found["active"], found["active_after_revocation"]) == (True, False)
