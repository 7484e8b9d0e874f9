"""Clients that may be used from certain networks only, seen from outside: tokens and calls apart, proxies respected."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import httpx

from omnilab.tenancy.model.orders import ClientChange
from tests.tokens.running import ACTOR, Running, play

# `Running` calls from 192.0.2.7.
HERE, ELSEWHERE = "192.0.2.0/24", "198.51.100.0/24"
WHOAMI = "/v1/oauth:whoami"


async def restrict(it: Running, client: dict[str, Any], **lists: tuple[str, ...]) -> None:
    change = ClientChange(**lists)
    await it.platform.tenancy.clients.update(client["client_id"], change, actor=ACTOR)
    await it.settle()


async def whoami(it: Running, token: str, **headers: str) -> httpx.Response:
    return await it.http.get(WHOAMI, headers={"Authorization": f"Bearer {token}"} | headers)


def test_tokens_are_for_listed_addresses_only(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", token_addresses=(ELSEWHERE, "2001:db8::/48"))
        answer = await it.ask(client)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer.json()["error_uri"].endswith("/errors/address_not_allowed")
        assert "192.0.2.7" in answer.json()["error_description"]
        assert ELSEWHERE not in answer.text  # the list itself is the operator's
        record = await it.record_of(answer)
        assert (record.check, record.expected) == ("address", f"an address in {ELSEWHERE} 2001:db8::/48")
        # To whoever has not the secret it is the unknown client's answer.
        wrong = await it.ask(client, client_secret="wrong")
        assert wrong.json()["error_uri"].endswith("/errors/client_authentication_failed")
        await restrict(it, client, token_addresses=(HERE,))
        assert (await it.ask(client)).status_code == 200

    play(folder, story)


def test_calls_have_a_list_of_their_own_that_bites_on_tokens_already_issued(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", token_addresses=(HERE,))
        token = (await it.ask(client)).json()["access_token"]
        assert (await whoami(it, token)).status_code == 200
        await restrict(it, client, api_addresses=(ELSEWHERE,))
        answer = await whoami(it, token)
        assert (answer.status_code, answer.json()["code"]) == (403, "address_not_allowed")
        assert "www-authenticate" not in answer.headers
        await it.platform.audit._buffer.flush()
        assert (await it.record_of(answer)).check == "address"
        assert (await it.ask(client)).status_code == 200
        await restrict(it, client, api_addresses=("any",))
        assert (await whoami(it, token)).status_code == 200
        shown = await it.platform.tenancy.clients.get(client["client_id"])
        assert (shown["token_addresses"], shown["api_addresses"]) == ([HERE], None)

    play(folder, story)


def test_behind_a_trusted_proxy_the_forwarded_address_counts_and_nobody_elses(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", token_addresses=("2001:db8:1::/48",))
        forwarded = {"X-Forwarded-For": "2001:db8:1::9"}
        assert (await it.ask(client, forwarded)).status_code == 200
        assert (await it.ask(client, {"X-Forwarded-For": "2001:db8:1::9, 2001:db8:2::1"})).status_code == 401
        assert (await it.ask(client)).status_code == 401

    play(folder, story, trusted_proxies=(ipaddress.ip_network("192.0.2.7/32"),))


def test_a_header_from_a_stranger_opens_nothing(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", token_addresses=("2001:db8:1::/48",))
        assert (await it.ask(client, {"X-Forwarded-For": "2001:db8:1::9"})).status_code == 401

    play(folder, story)
