"""Source: CWE-117, OWASP API 2023 API8.

Line breaks, terminal sequences and credentials in whatever is written down: one record stays one record, and holds no
secret.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from omnilab.audit.model import encode
from tests.attacks.scene import INTROSPECT, REVOKE, TOKEN, Scene, on_stage

_TEXTS = ["a\r\nSet-Cookie: x=1", "\x1b[2J\x1b[31m", "a\u2028b", '"},{"outcome":"granted"', "%0d%0aX: y", "\u202egnp"]


@pytest.mark.parametrize("path", [TOKEN, REVOKE, INTROSPECT])
def test_a_record_is_one_line_of_ones_own_words(folder: Path, path: str) -> None:
    async def story(scene: Scene) -> None:
        for text in _TEXTS:
            body = {"client_id": text, "client_secret": text, "grant_type": "client_credentials", "token": text}
            answer = await scene.call("POST", path, data=body, headers={"X-Request-Id": "a b"})
            assert "\n" not in str(answer.headers.get("www-authenticate", ""))
            await scene.it.platform.audit._buffer.flush()
            line = encode(await scene.it.record_of(answer)).decode()
            assert not any(char < " " or char in "\x7f\u2028\u202e" for char in line)

    on_stage(folder, story, failed_authentications_per_client_per_minute=None)


def test_a_secret_in_any_field_is_in_no_record(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        secret = scene.victim["client_secret"]
        token = await scene.token(scene.victim)
        for path in (TOKEN, REVOKE, INTROSPECT):
            for name in ("client_id", "grant_type", "audience", "scope", "token", "token_type_hint"):
                for text in (secret, token):
                    body = {"client_id": "x", "client_secret": "y", "grant_type": "client_credentials", "token": "t"}
                    headers = {"X-Request-Id": secret}
                    answer = await scene.call("POST", path, data=body | {name: text}, headers=headers)
                    assert secret not in answer.text + str(answer.headers)
        await scene.it.platform.audit._buffer.flush()
        records = [
            encode(record).decode()
            async for record in scene.it.platform.audit._all.newest_first("", refusals_only=False)
        ]
        assert len(records) > 30
        assert not [each for each in records if secret[9:25] in each or token[-40:] in each]

    on_stage(folder, story, failed_authentications_per_client_per_minute=None)
