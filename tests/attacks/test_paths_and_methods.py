"""Source: OWASP API 2023 API5 and API8, RFC 9110 §9.3.2, RFC 3986 §6.

Other spellings of a path, methods said to be others: a rule that is looked up by one spelling must not be walked round
by another. `%3A` alone is the same as `:`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.scene import CANCEL, LIST, Scene, bearer, is_refused, on_stage

_OTHER_SPELLINGS = [
    "//v1/interactions:cancelContactBooking",
    "/v1//interactions:cancelContactBooking",
    "/v1/interactions:cancelContactBooking/",
    "/v1/interactions:cancelContactBooking;x=1",
    "/v1/%69nteractions:cancelContactBooking",
    "/v1%2Finteractions:cancelContactBooking",
    "/V1/interactions:cancelContactBooking",
    "/v1/interactions:cancelcontactbooking",
    "/v1/interactions:cancelContactBooking%00",
    "/v1/interactions%253AcancelContactBooking",
    "/v2/interactions:cancelContactBooking",
]


@pytest.mark.parametrize("path", _OTHER_SPELLINGS)
def test_another_spelling_is_another_path(folder: Path, path: str) -> None:
    async def story(scene: Scene) -> None:
        token = await scene.token(scene.victim)
        url = scene.it.http.base_url.copy_with(raw_path=path.encode())
        answer = await scene.it.http.request("POST", url, json={}, headers=bearer(token))
        assert (answer.status_code, is_refused(answer)) == (404, True)

    on_stage(folder, story)


def test_an_encoded_colon_is_decided_as_a_colon(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        reader = await scene.it.add_client("acme", allow=("bookings:read",))
        token = await scene.token(reader)
        codes = set()
        for path in (CANCEL, CANCEL.replace(":", "%3A"), CANCEL.replace(":", "%3a")):
            url = scene.it.http.base_url.copy_with(raw_path=path.encode())
            answer = await scene.it.http.request("POST", url, json={}, headers=bearer(token))
            record = await scene.it.record_of(answer)
            codes.add((answer.status_code, answer.json()["code"], record.endpoint))
        assert codes == {(403, "endpoint_not_enabled", "bookings:cancel")}

    on_stage(folder, story)


def test_a_method_is_what_it_is(folder: Path) -> None:
    async def story(scene: Scene) -> None:
        token = await scene.token(scene.victim)
        for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
            headers = bearer(token) | {header: "POST"}
            assert (await scene.call("GET", CANCEL, headers=headers)).status_code == 405
            assert (await scene.call("GET", f"{LIST}?external_id=c&_method=POST", headers=headers)).status_code == 400
        for method in ("HEAD", "OPTIONS", "TRACE", "CONNECT", "PUT", "DELETE", "PATCH", "get", "XYZ"):
            answer = await scene.it.http.request(method, CANCEL, headers=bearer(token))
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST"

    on_stage(folder, story)
