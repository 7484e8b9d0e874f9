"""Source: RFC 8725 §3.10, OWASP API 2023 API4.

Tokens with made-up key ids, one after another: a guard that fetched the issuer's keys for each would let any stranger
make it flood the issuer, and a service that remembered each would fill up. The issuer's own API asks nobody.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from omnilab.guard import Guard, InvalidTokenError, KeysUnavailableError
from tests.attacks.scene import LIST, Scene, bearer, is_refused, on_stage
from tests.guard.jwks_server import jwks_server
from tests.guard.minting import AUDIENCE, JWKS, STRANGER, Mint, token

FLOOD = 500


def test_a_guard_asks_the_issuer_a_bounded_number_of_times_and_serves_on() -> None:
    async def attack() -> int:
        with jwks_server(JWKS) as issuer:
            now = int(time.time())
            times = {"iss": issuer.issuer, "iat": now, "exp": now + 3600}
            guard = Guard(issuer=issuer.issuer, audience=AUDIENCE, jwks_url=issuer.url)
            assert (await guard.verify(token(**times))).client_id == "cli_one"
            for number in range(FLOOD):
                claims = times | {"jti": f"flood-{number}"}
                forged = Mint(key=STRANGER, header={"kid": f"key_{number}"}, claims=claims).token()
                try:
                    await guard.verify(forged)
                except (InvalidTokenError, KeysUnavailableError):
                    continue
                raise AssertionError(f"a stranger's token was taken, number {number}")
            assert (await guard.verify(token(**times, jti="after"))).client_id == "cli_one"
            return len(issuer.requests)

    began = time.monotonic()
    fetches = asyncio.run(attack())
    # The first one, and at most one for each pause between two looks.
    assert fetches <= 2 + (time.monotonic() - began) // 10


def test_the_platform_refuses_each_and_its_callers_notice_nothing(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        real = await scene.token(scene.victim)
        claims = real.split(".")[1]
        for number in range(FLOOD):
            header = Mint(key=STRANGER, header={"kid": f"key_{number}", "typ": "at+jwt"}).token().split(".")[0]
            answer = await scene.call("GET", LIST, headers=bearer(f"{header}.{claims}.{real.split('.')[2]}"))
            assert is_refused(answer)
            assert (answer.status_code, answer.json()["code"]) == (401, "token_malformed")
        params = {"external_id": "contact-1"}
        answer = await scene.call("GET", LIST, params=params, headers=bearer(real))
        assert answer.status_code == 200

    on_stage(folder, story)
