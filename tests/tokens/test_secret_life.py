"""The end of a secret's life, seen from outside: the header before it expires, and what is done when it leaks."""

from __future__ import annotations

from pathlib import Path

from omnilab.telemetry.metric_names import SECRET_EXPIRY_WARNINGS
from omnilab.tenancy.model.orders import Rotation
from tests.tokens.running import ACTOR, ISSUER, Running, play

DAY = 86_400
HEADER = "omnilab-secret-expires"


def test_token_answers_tell_of_the_expiry_for_thirty_days(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", expires_in_seconds=40 * DAY)
        assert HEADER not in (await it.ask(client)).headers
        it.clock.forward(10 * DAY - 1)
        assert HEADER not in (await it.ask(client)).headers
        it.clock.forward(1)
        assert (await it.ask(client)).headers[HEADER] == "2027-02-24T08:00:00Z"
        added = await it.platform.tenancy.secrets.rotate(client["client_id"], Rotation(), actor=ACTOR)
        await it.settle()
        newer = await it.ask(client, client_secret=added.client_secret.reveal())
        assert (newer.status_code, HEADER in newer.headers) == (200, False)

    play(folder, story)


def test_a_leaked_secret_ends_and_its_use_is_told(folder: Path) -> None:
    async def story(it: Running) -> None:
        client = await it.add_client("acme", technical_contact="ops@acme.example")
        token = (await it.ask(client)).json()["access_token"]
        await it.ask(client)
        call = "/v1/interactions:fetchContactBookings?external_id=c-1"
        headers = {"Authorization": f"Bearer {token}"}
        assert (await it.http.get(call, headers=headers)).status_code == 200
        await it.platform.audit._buffer.flush()
        done = await it.platform.tenancy.compromise.handle(
            client["client_id"], client["secret_id"], since_ms=None, actor=ACTOR
        )
        await it.settle()
        assert (await it.http.get(call, headers=headers)).json()["code"] == "token_revoked"
        assert (await it.ask(client)).json()["error_uri"].endswith("/errors/secret_revoked")
        found = {(each["endpoint"], each["outcome"]): each for each in done["calls"]}  # type: ignore[attr-defined]
        assert done["addresses"] == ["192.0.2.7"]
        assert found["oauth:token", "granted"]["count"] == 2
        assert found["bookings:read", "granted"]["count"] == 1
        assert client["secret_id"] in str(done["text"])
        assert client["client_secret"] not in repr(done)
        path, _, claim = str(done["hand_off_url"]).removeprefix(ISSUER).partition("#")
        opened = await it.http.post("/hand-off", json={"hand_off_id": path.removeprefix("/hand-off/"), "claim": claim})
        assert opened.status_code == 200, opened.text
        await it.settle()
        answer = await it.ask(client | opened.json())
        assert answer.status_code == 200, answer.text
        # Only what was asked for: nothing since a moment ago.
        it.clock.forward(60)
        again = await it.platform.tenancy.compromise.handle(
            client["client_id"], client["secret_id"], since_ms=it.clock.ms, actor=ACTOR
        )
        assert (again["changed"], again["calls"]) == (False, [])

    play(folder, story)


def test_the_service_warns_by_log_and_metric_and_not_again_after_a_restart(folder: Path) -> None:
    def counted(it: Running) -> bool:
        assert it.platform.metrics is not None
        rendered = it.platform.metrics.render().decode()
        return f"{SECRET_EXPIRY_WARNINGS.name}_total 1.0" in rendered

    async def first(it: Running) -> None:
        await it.add_client("acme", expires_in_seconds=5 * DAY)
        given = await it.platform.warn_of_expiry()
        assert [each["days_left"] for each in given] == [5]
        assert counted(it)

    async def second(it: Running) -> None:
        assert await it.platform.warn_of_expiry() == []
        assert not counted(it)

    play(folder, first)
    play(folder, second)
