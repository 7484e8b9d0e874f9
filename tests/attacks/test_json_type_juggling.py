"""Source: RFC 8259 §4 (duplicate names), RFC 6749 §3.2, OWASP API 2023 API3 and API8.

Values of another type, names that come twice, bodies that nest or pretend to another encoding: none may be understood
as something else than it says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.scene import INTROSPECT, REVOKE, TOKEN, Scene, is_refused, on_stage

_VALUES: list[Any] = [None, True, 0, 1.5, [], {}, ["x"], {"$ne": None}, [["x"]], "\x00", "\ud800"]


@pytest.mark.parametrize("path", [TOKEN, REVOKE, INTROSPECT])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_a_credential_of_another_type_is_no_credential(folder: Path, path: str, name: str) -> None:
    async def story(scene: Scene) -> None:
        body = {
            "client_id": scene.victim["client_id"],
            "client_secret": scene.victim["client_secret"],
            "grant_type": "client_credentials",
            "audience": scene.victim["audience"],
            "token": "x",
        }
        for value in _VALUES:
            content = json.dumps(body | {name: value})
            answer = await scene.call("POST", path, content=content, headers={"Content-Type": "application/json"})
            assert is_refused(answer), value

    on_stage(folder, story, failed_authentications_per_client_per_minute=None)


@pytest.mark.parametrize("path", [TOKEN, REVOKE, INTROSPECT])
def test_bodies_that_two_readers_would_read_differently(folder: Path, path: str) -> None:
    async def story(scene: Scene) -> None:
        client_id, secret = scene.victim["client_id"], scene.victim["client_secret"]
        whole = f'"client_id":"{client_id}","client_secret":"{secret}","grant_type":"client_credentials","token":"x"'
        bodies = [
            "{" + whole + ',"client_secret":"wrong"}',
            "{" + whole + ',"client\\u005fsecret":"wrong"}',
            "\ufeff{" + whole + "}",
            "{" + whole + "} {}",
            "[{" + whole + "}]",
            "{" + whole + ',"more":' + "[" * 200 + "]" * 200 + "}",
            "{" + whole + ",}",
            "{" + whole.replace('"', "'") + "}",
            "{" + whole + ',"n":NaN}',
        ]
        for body in bodies:
            answer = await scene.call("POST", path, content=body.encode(), headers={"Content-Type": "application/json"})
            assert is_refused(answer), body[-40:]
        for charset in ("utf-16", "utf-7", "iso-8859-1"):
            kind = {"Content-Type": f"application/json; charset={charset}"}
            answer = await scene.call("POST", path, content=("{" + whole + "}").encode(), headers=kind)
            assert answer.status_code == 415

    on_stage(folder, story)
