"""Source: RFC 9700 §2.3 and §4.10 (audience restriction), RFC 9068 §4, OWASP API 2023 API1 and API5.

A token for one API or tenant is presented to another, on every host there is.
"""

from __future__ import annotations

from pathlib import Path

from omnilab.tenancy.model.orders import NewAudience
from tests.attacks.scene import LIST, Scene, bearer, is_refused, on_stage
from tests.tokens.running import ACTOR


def test_a_token_opens_only_its_own_tenants_host(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        token = await scene.token(scene.attacker)
        for host, status in (("acme.api.example.com", 401), ("nobody.api.example.com", 401), ("evil.example", 421)):
            answer = await scene.call("GET", f"{LIST}?external_id=c", headers=bearer(token) | {"Host": host})
            assert answer.status_code == status
            assert is_refused(answer)
        own = bearer(token) | {"Host": "globex.api.example.com"}
        assert (await scene.call("GET", f"{LIST}?external_id=c", headers=own)).status_code == 200

    on_stage(folder, story)


def test_anothers_audience_is_as_unknown_as_none(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        answers = [
            await scene.it.ask(scene.attacker, audience=audience)
            for audience in (scene.victim["audience"], "https://nobody.api.example.com", "urn:x")
        ]
        assert {(each.status_code, each.json()["error"], each.json()["error_description"]) for each in answers} == {
            (400, "invalid_target", answers[0].json()["error_description"])
        }

    on_stage(folder, story)


def test_a_token_for_another_api_of_the_same_tenant_opens_no_booking(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        other = "https://reports.example"
        tenancy = scene.it.platform.tenancy
        await tenancy.audiences.create("globex", NewAudience(audience=other, endpoints=("reports:read",)), actor=ACTOR)
        client = await scene.it.add_client("globex", audiences=(other, scene.attacker["audience"]))
        token = await scene.token(client, audience=other)
        answer = await scene.call("GET", f"{LIST}?external_id=c", headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (401, "audience_mismatch")

    on_stage(folder, story)
