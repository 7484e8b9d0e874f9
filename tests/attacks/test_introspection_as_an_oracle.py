"""Source: RFC 7662 §4, RFC 9700 §4.10, OWASP API 2023 API1.

Who asks about a token that is not its tenant's learns nothing: not that it is there, alive or revoked, nor whose it is.
"""

from __future__ import annotations

from pathlib import Path

from tests.attacks.scene import INTROSPECT, REVOKE, Scene, on_stage


def test_every_token_of_another_tenant_is_the_same_nothing(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        alive, ended, old = [await scene.token(scene.victim) for _ in range(3)]
        own = {name: scene.victim[name] for name in ("client_id", "client_secret")}
        await scene.call("POST", REVOKE, data=own | {"token": ended})
        asker = {name: scene.attacker[name] for name in ("client_id", "client_secret")}
        answers = set()
        for token in (alive, ended, "made.up.token", alive[:-10], alive.replace(".", "..")):
            answer = await scene.call("POST", INTROSPECT, data=asker | {"token": token})
            headers = {name: value for name, value in answer.headers.items() if not name.startswith("ratelimit")}
            answers.add((answer.status_code, answer.text, str(sorted(set(headers) - {"x-request-id"}))))
        scene.it.clock.forward(4000)
        answer = await scene.call("POST", INTROSPECT, data=asker | {"token": old})
        answers.add((answer.status_code, answer.text, next(iter(answers))[2]))
        assert len(answers) == 1
        assert next(iter(answers))[:2] == (200, '{"active":false}')

    on_stage(folder, story)


def test_a_token_is_no_credential_for_asking(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        token = await scene.token(scene.attacker)
        for headers in ({}, {"Authorization": f"Bearer {token}"}, {"Authorization": "Basic Og=="}):
            answer = await scene.call("POST", INTROSPECT, data={"token": token}, headers=headers)
            assert answer.status_code in (400, 401)

    on_stage(folder, story)
