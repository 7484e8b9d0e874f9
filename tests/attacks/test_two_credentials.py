"""Source: RFC 6749 §2.3 (one method a request) and §3.2 (no parameter twice), RFC 9700 §2.5, OWASP API 2023 API2.

Two credentials at once, and parameters in two places: whichever reader in the way believes which, none of them may get
a token that way.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from tests.attacks.scene import FORM, INTROSPECT, LIST, REVOKE, TOKEN, Scene, bearer, is_refused, on_stage
from tests.tokens.running import basic

GRANT = {"grant_type": "client_credentials", "token": "x"}


def credential(client: dict[str, str]) -> dict[str, str]:
    return {"client_id": client["client_id"], "client_secret": client["client_secret"]}


@pytest.mark.parametrize("path", [TOKEN, REVOKE, INTROSPECT])
def test_header_and_body_together_are_refused_whoever_is_in_which(folder: Path, path: str) -> None:
    async def story(scene: Scene) -> None:
        for one, other in product((scene.victim, scene.attacker), repeat=2):
            header = basic(one["client_id"], one["client_secret"])
            for body in (credential(other), {"client_secret": other["client_secret"]}):
                answer = await scene.call("POST", path, data=GRANT | body, headers=header)
                assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")

    on_stage(folder, story)


@pytest.mark.parametrize("path", [TOKEN, REVOKE, INTROSPECT])
def test_two_authorization_headers_are_refused_in_either_order(folder: Path, path: str) -> None:
    async def story(scene: Scene) -> None:
        headers = [
            ("Authorization", basic(each["client_id"], each["client_secret"])["Authorization"])
            for each in (scene.victim, scene.attacker)
        ]
        headers.append(("Authorization", bearer(await scene.token(scene.victim))["Authorization"]))
        for one, other in product(headers, repeat=2):
            answer = await scene.call("POST", path, data=GRANT, headers=httpx.Headers([one, other]))
            assert answer.status_code in (400, 401)
            assert is_refused(answer)

    on_stage(folder, story)


@pytest.mark.parametrize("name", ["client_id", "client_secret", "grant_type", "audience", "scope", "x"])
def test_a_parameter_twice_is_refused_the_same_value_too(folder: Path, name: str) -> None:
    async def story(scene: Scene) -> None:
        body = credential(scene.victim) | {"grant_type": "client_credentials", "audience": scene.victim["audience"]}
        there = body | {"scope": "bookings:read", "x": "y"}
        for again in (there[name], scene.attacker.get(name, "other"), ""):
            for pairs in ([*there.items(), (name, again)], [(name, again), *there.items()]):
                content = urlencode(pairs)
                answer = await scene.call("POST", TOKEN, content=content, headers={"Content-Type": FORM})
                assert is_refused(answer), pairs

    on_stage(folder, story)


@pytest.mark.parametrize("path", [TOKEN, REVOKE, INTROSPECT])
def test_what_stands_in_the_query_is_never_used(folder: Path, path: str) -> None:
    async def story(scene: Scene) -> None:
        whole = credential(scene.victim) | GRANT
        for name in ("client_id", "client_secret", "grant_type" if path == TOKEN else "token"):
            rest = {key: value for key, value in whole.items() if key != name}
            answer = await scene.call("POST", path, params={name: whole[name]}, data=rest)
            assert is_refused(answer), name
            assert scene.victim["client_secret"] not in answer.text

    on_stage(folder, story)


def test_a_call_with_two_tokens_is_nobodys(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        tokens = [await scene.token(each) for each in (scene.victim, scene.attacker)]
        for one, other in product(tokens, repeat=2):
            headers = httpx.Headers([("Authorization", f"Bearer {one}"), ("Authorization", f"Bearer {other}")])
            answer = await scene.call("GET", f"{LIST}?external_id=c", headers=headers)
            assert answer.status_code in (400, 401)
            for text in (f"Bearer {one}, Bearer {other}", f"Bearer {one} {other}", f"Bearer {one},{other}"):
                answer = await scene.call("GET", f"{LIST}?external_id=c", headers={"Authorization": text})
                assert answer.status_code in (400, 401)
            answer = await scene.call("GET", f"{LIST}?external_id=c&access_token={one}")
            assert is_refused(answer)

    on_stage(folder, story)
