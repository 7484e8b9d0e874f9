"""Staging and production as operators and callers meet them: strict where development is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from omnilab.crypto.sealing import new_master_key_text
from tests.harness import Credentials, Omnilab, Server, bearer, free_port

PUBLIC = "id.example.com"
TENANT_HOST = "acme.api.example.com"
FETCH = "/v1/interactions:fetchContactBookings?external_id=contact-1"
OPERATOR = {"operator": "ada", "ticket": "OPS-1"}


@dataclass(frozen=True)
class Production:
    """A production installation with one client, served behind no proxy."""

    omnilab: Omnilab
    server: Server
    client: Credentials


def installation(directory: Path, environment: str = "production") -> Omnilab:
    return Omnilab(
        directory,
        environment=environment,
        public_url=f"https://{PUBLIC}",
        tenant_domain="example.com",
        master_key=new_master_key_text(),
        **OPERATOR,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Omnilab, Credentials]:
    omnilab = installation(tmp_path_factory.mktemp("production")).init()
    omnilab.create_tenant("acme")
    return omnilab, omnilab.create_client("acme", allow=("bookings:read",))


@pytest.fixture(scope="module")
def production(installed: tuple[Omnilab, Credentials]) -> Iterator[Production]:
    omnilab, client = installed
    with omnilab.serve() as server:
        server.http.headers["Host"] = PUBLIC
        yield Production(omnilab, server, client)


@pytest.mark.parametrize(("environment", "command"), [("production", "init"), ("staging", "serve")])
def test_without_master_key_or_https_nothing_starts_and_the_words_say_why(
    tmp_path: Path, environment: str, command: str
) -> None:
    omnilab = Omnilab(tmp_path, environment=environment, public_url="http://id.example.com")
    message = omnilab.cli(command, expect=1)["error"]["message"]
    assert "OMNILAB_MASTER_KEY" in message
    assert "https://" in message
    assert not list(tmp_path.rglob("*.db"))


def test_no_call_may_be_tried_from_the_help_centre(production: Production) -> None:
    http = production.server.http
    page = http.get("/docs/reference")
    assert page.status_code == 200
    assert "try-it" not in page.text
    assert "script-src 'self'; " in page.headers["content-security-policy"]
    assert http.get("/docs/try-it").status_code == 404


def test_a_change_names_its_operator_and_ticket(installed: tuple[Omnilab, Credentials]) -> None:
    omnilab, client = installed
    for missing in OPERATOR:
        refused = omnilab.cli("clients", "disable", client.client_id, expect=1, **{missing: ""})["error"]
        assert refused["code"] == f"{missing}_required"
        assert f"--{missing}" in refused["message"]
    # To look needs neither; and nothing but the making of the client has been done to it.
    (made,) = omnilab.cli("audit", "list", "--client", client.client_id, operator="", ticket="")["records"]
    assert made["endpoint"] == "clients:create"
    assert (made["actor"]["operator"], made["actor"]["ticket"]) == ("ada", "OPS-1")


@pytest.mark.parametrize("words", [["demo"], ["seed", "--tenants", "1", "--clients", "1", "--bookings", "1"]])
def test_what_is_for_development_is_refused(installed: tuple[Omnilab, Credentials], words: list[str]) -> None:
    omnilab, _ = installed
    assert "development" in omnilab.cli(*words, expect=1)["error"]["message"]


def test_the_client_is_told_its_urls(production: Production) -> None:
    client = production.client
    assert client.base_url == client.audience == f"https://{TENANT_HOST}"
    assert client.token_url == f"https://{TENANT_HOST}/v1/oauth:token"
    assert client.issuer == f"https://{PUBLIC}"
    assert client.client_secret.startswith("omni_prd_")


@pytest.mark.parametrize("host", ["127.0.0.1", "upstream", "x.api.example.org", "a.b.api.example.com"])
@pytest.mark.parametrize("path", ["/v1/oauth:whoami", "/v1/oauth:token", "/openapi.json", "/docs/errors", "/v1/none"])
def test_an_unknown_host_is_421_and_names_the_proxy_setting(production: Production, host: str, path: str) -> None:
    method = "POST" if path.endswith(":token") else "GET"
    headers = {"Host": host, "X-Forwarded-Host": PUBLIC, "Forwarded": f"host={PUBLIC}"}
    answer = production.server.http.request(method, path, headers=headers)
    assert answer.status_code == 421
    document = answer.json()
    assert "proxy_set_header Host $host" in (document.get("detail") or document["error_description"])
    assert answer.headers["x-request-id"] == document["request_id"]


def test_health_is_answered_on_any_host(production: Production) -> None:
    for path in ("/healthz", "/readyz"):
        assert production.server.http.get(path, headers={"Host": "10.0.0.7:8080"}).status_code == 200


def test_metadata_stands_on_the_issuers_host_and_keys_on_both(production: Production) -> None:
    paths = ("/.well-known/oauth-authorization-server", "/.well-known/jwks.json")
    there = [production.server.http.get(path) for path in paths]
    on_tenant = [production.server.http.get(path, headers={"Host": TENANT_HOST}) for path in paths]
    assert [each.status_code for each in (*there, *on_tenant)] == [200, 200, 404, 200]
    assert there[0].json()["issuer"] == f"https://{PUBLIC}"
    assert f"https://{PUBLIC}" in on_tenant[0].json()["detail"]
    assert there[1].json() == on_tenant[1].json()


def test_metrics_are_not_served(production: Production) -> None:
    assert production.server.http.get("/metrics").status_code == 404


def test_quotas_are_on_and_every_answer_of_a_limited_call_tells_them(production: Production) -> None:
    server = production.server
    token_answer = server.token_answer(production.client)
    token = token_answer.json()["access_token"]
    answers = [
        token_answer,
        server.token_answer(production.client, audience="https://nobody.example"),
        server.http.get(FETCH, headers=bearer(token)),
        server.http.get(FETCH + "&nothing=1", headers=bearer(token)),
        server.http.get("/v1/oauth:whoami", headers=bearer(token) | {"Host": TENANT_HOST}),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 200, 400, 200]
    assert all(answer.headers["ratelimit"] and answer.headers["ratelimit-policy"] for answer in answers)
    assert all("q=120;" in answer.headers["ratelimit-policy"] for answer in answers[:2])
    assert all("q=1200;" in answer.headers["ratelimit-policy"] for answer in answers[2:])
    quotas = answers[-1].json()["quotas"]
    assert "120" in json.dumps(quotas["token"])
    assert "1200" in json.dumps(quotas["api"])


def test_a_client_gets_120_tokens_a_minute(production: Production) -> None:
    spender = production.omnilab.create_client("acme", allow=())
    answers = [production.server.token_answer(spender) for _ in range(125)]
    assert [answer.status_code for answer in answers] == [200] * 120 + [429] * 5
    last = answers[-1]
    assert last.json()["error"] == "slow_down"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.headers["ratelimit"]


def test_wrong_secrets_are_bounded_and_a_right_one_is_always_answered(production: Production) -> None:
    victim = production.omnilab.create_client("acme", allow=())
    wrong = victim.client_secret[:-1] + ("x" if victim.client_secret[-1] != "x" else "y")
    answers = [production.server.token_answer(victim, client_secret=wrong) for _ in range(45)]
    # More than twice the bound, for a minute may begin anew in between.
    assert {answer.status_code for answer in answers} == {401, 429}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
    assert production.server.token_answer(victim).status_code == 200


def test_a_browser_gets_nothing_and_leaves_its_mark_on_the_secret(production: Production) -> None:
    exposed = production.omnilab.create_client("acme", allow=())
    body = {"client_id": exposed.client_id, "client_secret": exposed.client_secret, "audience": exposed.audience}
    body["grant_type"] = "client_credentials"
    for header in ({"Origin": "https://shop.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = production.server.http.post("/v1/oauth:token", json=body, headers=header)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert answer.json()["error_uri"].endswith("/errors/browser_request")
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    preflight = production.server.http.options("/v1/oauth:token", headers=asked)
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control-")]
    (secret,) = production.omnilab.cli("secrets", "list", exposed.client_id)["secrets"]
    assert secret["exposed_at"] is not None
    records = production.omnilab.cli("audit", "list", "--client", exposed.client_id)["records"]
    assert "browser_request" in {record["code"] for record in records}
    assert len({record["endpoint"] for record in records}) >= 3  # made, refused, marked


def test_secrets_of_other_environments_are_told_apart(production: Production) -> None:
    secret = "omni_stg_" + production.client.client_secret.removeprefix("omni_prd_")
    answer = production.server.token_answer(production.client, client_secret=secret)
    assert answer.status_code == 401
    assert answer.json()["error_uri"].rpartition("/")[2] in {"secret_mistyped", "secret_wrong_environment"}


FORWARDED = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}


def address_of(omnilab: Omnilab, answer: httpx.Response) -> Any:
    (record,) = omnilab.cli("audit", "show", answer.headers["x-request-id"])["records"]
    return record["address"]


def test_a_strangers_forwarded_address_is_hearsay(production: Production) -> None:
    refused = production.server.http.post("/v1/oauth:token", json={}, headers=FORWARDED)
    assert refused.status_code == 400
    assert address_of(production.omnilab, refused) == "127.0.0.1"


def test_a_trusted_proxys_forwarded_address_counts(tmp_path: Path, installed: tuple[Omnilab, Credentials]) -> None:
    template, client = installed
    omnilab = template.copied_to(tmp_path)
    omnilab.port = free_port()
    omnilab.url = f"http://127.0.0.1:{omnilab.port}"
    with omnilab.serve(trusted_proxies="127.0.0.0/8") as server:
        server.http.headers.update({"Host": PUBLIC} | FORWARDED)
        server.token(client)
        refused = server.http.post("/v1/oauth:token", json={})
    assert address_of(omnilab, refused) == "203.0.113.9"
    (secret,) = omnilab.cli("secrets", "list", client.client_id)["secrets"]
    assert secret["last_address"] == "203.0.113.9"
