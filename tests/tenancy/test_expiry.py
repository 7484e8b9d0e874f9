"""Secrets that will expire: warned of 30, 7 and 1 days before, once each however many processes and restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from omnilab.tenancy.model.expiry import DAY_MS
from omnilab.tenancy.service.means import Touched
from tests.harness.databases import BOTH_ENGINES
from tests.tenancy.estate import ACTOR, NOON, Estate, refused, tell

pytestmark = BOTH_ENGINES


def test_three_warnings_with_a_record_each_whoever_looks(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client(expires_in_seconds=40 * 86_400, technical_contact="ops@acme.example")
        secret_id = made.issued.secret_id
        expiry = estate.tenancy.expiry

        async def looked(days_before: float) -> list[object]:
            estate.clock.ms = NOON + int((40 - days_before) * DAY_MS)
            answers = await asyncio.gather(*(expiry.warn() for _ in range(3)))
            return [each["days_left"] for answer in answers for each in answer]

        told = [await looked(days) for days in (40, 30.01, 30, 29, 7, 6.5, 1, 0.5, 0)]
        assert told == [[], [], [30], [], [7], [], [1], [], []]
        records = await estate.records("secrets:expiring")
        assert sorted(int(record.details["warning_days"]) for record in records) == [1, 7, 30]
        assert {record.secret_id for record in records} == {secret_id}

    tell(tmp_path, story)


def test_whom_to_tell_and_what(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        soon = await estate.client(expires_in_seconds=9 * 86_400, technical_contact="ops@acme.example", label="blue")
        await estate.client(expires_in_seconds=50 * 86_400)
        revoked = await estate.client(expires_in_seconds=5 * 86_400)
        await estate.tenancy.secrets.revoke(revoked.client.client_id, revoked.issued.secret_id, actor=ACTOR)
        listed = await estate.tenancy.expiry.list_all(30 * 86_400)
        assert [each["secret_id"] for each in listed] == [soon.issued.secret_id]
        (each,) = listed
        assert (each["technical_contact"], each["days_left"], each["successor"]) == ("ops@acme.example", 9, False)
        text = str(each["text"])
        assert all(part in text for part in (soon.client.client_id, "label blue", "2030-03-26T17:46:40Z"))
        estate.clock.ms += 1
        await estate.tenancy.secrets.add(soon.client.client_id, actor=ACTOR)
        (again,) = await estate.tenancy.expiry.list_all(30 * 86_400)
        assert again["successor"] is True
        assert "newer secret is there already" in str(again["text"])
        assert len(await estate.tenancy.expiry.list_all(60 * 86_400)) == 2

    tell(tmp_path, story)


def test_a_mark_of_exposure_is_taken_back_with_a_reason(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client_id, secret_id = made.client.client_id, made.issued.secret_id
        verbs = estate.tenancy.secrets
        assert (await verbs.clear_exposed(client_id, secret_id, reason="x", actor=ACTOR))["changed"] is False
        touched = Touched(made.client.tenant_id, "acme", client_id, secret_id)
        await verbs.mark_exposed(touched)
        done = await verbs.clear_exposed(client_id, secret_id, reason="a test page of ours", actor=ACTOR)
        assert (done["changed"], done["exposed_at"]) == (True, None)
        assert (await estate.seen(client_id)).secrets[0].exposed_at is None
        (record,) = await estate.records("secrets:clear-exposed")
        assert (record.details["reason"], record.actor) == ("a test page of ours", ACTOR)
        await refused("reason_invalid", verbs.clear_exposed(client_id, secret_id, reason=" ", actor=ACTOR))
        await refused("secret_unknown", verbs.clear_exposed(client_id, "sec_x", reason="x", actor=ACTOR))
        assert await verbs.mark_exposed(touched)  # and it can be exposed again

    tell(tmp_path, story)
