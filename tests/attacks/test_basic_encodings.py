"""Source: RFC 7617 §2, RFC 6749 §2.3.1, RFC 4648 §3.3 and §3.5 (what a strict reader of base64 refuses).

Headers that a lenient reader would understand somehow: cut, padded, of another alphabet or encoding, without a colon,
enormous. None gets a token, none makes a 500, and none is repeated in its refusal.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.attacks.scene import TOKEN, Scene, is_refused, on_stage

GRANT = {"grant_type": "client_credentials"}


def variants(pair: str) -> list[bytes]:
    """Spoiled forms of a header that would be right."""
    right = base64.b64encode(pair.encode())
    user, _, password = pair.partition(":")
    return [
        b"Basic",
        b"Basic ",
        b"Basic" + right,
        b"Basic " + right[: len(right) // 2],
        b"Basic " + right[:-5],
        b"Basic " + right[:8] + b" " + right[8:],
        b"Basic " + right + b"!",
        b"Basic " + right + b"====",
        b"Basic " + right + b" " + right,
        b"Basic " + right + b"," + right,
        b"Basic " + right[:4] + b"\xe2\x80\x8b" + right[4:],
        b"Basic " + base64.b64encode(right),
        b"Basic " + base64.b64encode(pair.encode("utf-16")),
        b"Basic " + base64.b64encode(pair.encode("utf-7") + b"+"),
        b"Basic " + base64.b64encode(b"\xff\xfe" + pair.encode()),
        b"Basic " + base64.b64encode(f"{user}{password}".encode()),
        b"Basic " + base64.b64encode(f"{user}:".encode()),
        b"Basic " + base64.b64encode(f":{password}".encode()),
        b"Basic " + base64.b64encode(f"{user}:{password}\x00".encode()),
        b"Basic " + base64.b64encode(f"{user}\x00:{password}".encode()),
        b"Basic " + base64.b64encode(f"{user}:{password}\r\nX-Evil: 1".encode()),
        b"Basic " + base64.b64encode(f"{user}::{password}".encode()),
        b"Basic " + base64.b64encode(f"{password}:{user}".encode()),
        b"Basic " + base64.b64encode(f"{user}%00:{password}".encode()),
        b"Basic " + base64.b64encode(f"{user}:{password}%zz".encode()),
        b"Basic " + base64.b64encode(f"{user}:{password}%C0%AE".encode()),
        b"Basic " + base64.b64encode(f"{user.upper()}:{password}".encode()),
        b"Basic " + base64.b64encode(f"{user}:{password.swapcase()}".encode()),
        b"Basic " + base64.b64encode(b"x" * 6000 + b":" + b"y" * 6000),
        b"Digest " + right,
        b"Basic realm=x, " + right,
    ]


def test_no_spoiled_header_gets_a_token_or_is_repeated(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        client_id, secret = scene.victim["client_id"], scene.victim["client_secret"]
        for header in variants(f"{client_id}:{secret}"):
            answer = await scene.call("POST", TOKEN, data=GRANT, headers={b"Authorization": header})
            assert is_refused(answer), header[:40]
            assert "access_token" not in answer.text
            shown = answer.text + str(answer.headers)
            assert secret not in shown
            assert header[6:] in (b"", b" ") or header[6:].decode("latin-1") not in shown

    on_stage(folder, story, failed_authentications_per_client_per_minute=None)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
def test_a_right_header_still_gets_one(folder: Path, scheme: str) -> None:
    """Otherwise the test above would pass for a door that is walled up."""

    async def story(scene: Scene) -> None:
        client_id, secret = scene.victim["client_id"], scene.victim["client_secret"]
        plain = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        escaped = base64.b64encode(f"{client_id.replace('_', '%5F')}:{secret.replace('_', '%5f')}".encode()).decode()
        for text in (plain, escaped):
            answer = await scene.call("POST", TOKEN, data=GRANT, headers={"Authorization": f"{scheme} {text}"})
            assert answer.status_code == 200

    on_stage(folder, story)
