"""Operators' questions: what a request was decided on, whose refusals are whose, and why they happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from omnilab.audit.model import AuditRecord, Check, encode, expand_checks, fix_of, present
from omnilab.audit.model.checks import EXPECTED
from omnilab.audit.service import RecordQuery
from omnilab.checks import CHECKS
from omnilab.codes import CODES
from omnilab.errors import ProvisioningError
from tests.audit.place import CLIENT, LEGACY_CLIENT, OTHER, Place, over, path_in
from tests.harness.databases import BOTH_ENGINES, run_sql

pytestmark = BOTH_ENGINES


@dataclass
class Flood:
    """A minute's failed authentications that were not recorded one by one."""

    started_at: int = 1_790_000_000_000
    ended_at: int = 1_790_000_060_000
    refused: int = 40
    addresses: dict[str, int] = field(default_factory=lambda: {"192.0.2.1": 10, "192.0.2.2": 30})
    client_ids: dict[str, int] = field(default_factory=lambda: {CLIENT: 25, LEGACY_CLIENT: 10, "nobody": 5})


def test_every_check_has_its_words_and_no_other() -> None:
    assert set(EXPECTED) == {name for names in CHECKS.values() for name in names}


def test_a_refusal_passed_what_came_before_and_nothing_after(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        record = place.refused("secret_expired", "secret_expiry", endpoint="oauth:token", expected="later", found="now")
        trace = expand_checks(record)
        assert [each.name for each in trace] == list(CHECKS["token"][: CHECKS["token"].index("secret_expiry") + 1])
        assert [each.passed for each in trace] == [True] * (len(trace) - 1) + [False]
        assert trace[-1] == Check("secret_expiry", "later", "now", False)

    over(tmp_path, action)


def test_a_trace_says_something_where_the_record_says_little(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        assert [each.passed for each in expand_checks(place.granted())] == [True] * len(CHECKS["api"])
        assert expand_checks(place.refused(check=None)) == []
        (strange,) = expand_checks(place.refused(check="moon_phase", reason="full moon"))
        assert (strange.expected, strange.found) == ("moon phase", "full moon")
        assert fix_of(place.refused()) == CODES["endpoint_not_enabled"].fix
        assert fix_of(place.granted()) is None

    over(tmp_path, action)


def test_a_record_is_presented_in_the_shape_of_the_contract(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        place.clock.ms = 1_790_000_000_123
        shown = present(place.refused(found="bookings:read"))
        contract = (
            "request_id occurred_at tenant client_id secret_id address endpoint outcome code reason checks fix actor"
        )
        assert list(shown)[: len(contract.split())] == contract.split()
        assert shown["occurred_at"] == "2026-09-21T14:13:20.123Z"
        assert set(shown["checks"][-1]) == {"name", "expected", "found", "passed"}

    over(tmp_path, action)


def test_listing_filters_and_is_newest_first(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        made: list[AuditRecord] = []
        for number in range(6):
            place.clock.ms += 60_000
            make = place.granted if number % 2 else place.refused
            made.append(make(tenant_id=OTHER, tenant="globex", client_id="cli_x") if number > 3 else make())
            await place.audit.record(made[-1])
        ids = [each.request_id for each in reversed(made)]

        async def listed(**filters: object) -> list[str]:
            return [each.request_id for each in await place.audit.list_records(RecordQuery(**filters))]  # type: ignore[arg-type]

        assert await listed() == ids
        assert await listed(limit=2) == ids[:2]
        assert await listed(tenant="acme") == ids[2:]
        assert await listed(tenant="acme", outcome="granted") == [ids[2], ids[4]]
        assert await listed(outcome="refused") == [ids[1], ids[3], ids[5]]
        assert await listed(client_id="cli_x") == ids[:2]
        assert await listed(since_ms=made[3].occurred_at) == ids[:3]
        assert await listed(tenant="globex", client_id=CLIENT) == []

    over(tmp_path, action)


def test_listing_goes_on_over_pages_and_past_checkpoints(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        made = [place.granted() for _ in range(1207)]
        for record in made:
            place.audit.record_later(record)
        await place.audit._buffer.flush()
        await place.audit._checkpoints.write()
        found = await place.audit.list_records(RecordQuery(limit=5000))
        assert sorted(each.request_id for each in found) == sorted(each.request_id for each in made)
        everyone = await place.audit.list_records(RecordQuery(limit=5000, outcome="granted"))
        assert {each.endpoint for each in everyone} == {"bookings:read"}

    over(tmp_path, action)


def test_claims_are_listed_with_whom_they_claim_to_be(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        claims = [
            place.unproven(claimed_client=place.audit.client_mark(CLIENT)),
            place.unproven(claimed_client=place.audit.client_mark(LEGACY_CLIENT)),
            place.unproven(claimed_tenant="acme"),
        ]
        strangers = [
            place.unproven(claimed_client=place.audit.client_mark("cli_" + "B" * 22)),
            place.unproven(claimed_client=place.audit.client_mark("cli_" + "Z" * 22)),
            place.unproven(claimed_tenant="globex"),
        ]
        for record in (*claims, *strangers):
            await place.audit.record(record)

        async def listed(query: RecordQuery) -> set[str]:
            return {each.request_id for each in await place.audit.list_records(query)}

        assert await listed(RecordQuery(tenant="acme")) == {each.request_id for each in claims}
        assert await listed(RecordQuery(tenant="acme", outcome="granted")) == set()
        assert await listed(RecordQuery(tenant="acme", client_id=LEGACY_CLIENT)) == {claims[1].request_id}
        assert await listed(RecordQuery(client_id=CLIENT)) == {claims[0].request_id}

    over(tmp_path, action)


def test_a_claimed_id_that_is_not_in_our_form_is_kept_as_its_hmac_only(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        mark = place.audit.client_mark("hunter2hunter2")
        assert mark.startswith("hmac:")
        assert "hunter2" not in mark
        assert place.audit.client_mark("omni_dev_" + "a1B" * 16) == "a-credential"

    over(tmp_path, action)


@pytest.mark.parametrize(
    ("claimed", "words"),
    [
        (CLIENT, f"the known client_id {CLIENT} of acme"),
        (LEGACY_CLIENT, f"the known client_id {LEGACY_CLIENT} of acme"),
        ("cli_" + "Z" * 22, "a client_id that is unknown"),
        ("somebody", "a client_id that is unknown"),
        ("omni_dev_" + "a1B" * 16, "a secret or token in the place of the client_id"),
    ],
)
def test_operators_are_told_whether_the_client_was_unknown_or_the_secret_wrong(
    tmp_path: Path, claimed: str, words: str
) -> None:
    async def action(place: Place) -> None:
        record = place.unproven(claimed_client=place.audit.client_mark(claimed))
        await place.audit.record(record)
        (found,) = await place.audit.find(record.request_id)
        assert expand_checks(found)[-1].found.startswith(words)

    over(tmp_path, action)


def test_refusals_are_grouped_by_cause(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        first = place.clock.ms + 1000
        for number in range(5):
            place.clock.ms += 1000
            await place.audit.record(place.refused(address=f"192.0.2.{number % 2}"))
        await place.audit.record(place.refused(endpoint="bookings:cancel"))
        await place.audit.record(place.unproven(claimed_client=place.audit.client_mark(LEGACY_CLIENT)))
        await place.audit.record(place.unproven(claimed_tenant="acme", claimed_client="hmac:0"))
        await place.audit.record(place.refused(tenant_id=OTHER))
        await place.audit.record(place.granted())
        causes = await place.audit.explain("acme", first)
        top = causes[0]
        assert (top["code"], top["count"], top["client_id"], top["proved"]) == ("endpoint_not_enabled", 5, CLIENT, True)
        assert sorted(top["addresses"]) == ["192.0.2.0", "192.0.2.1"]
        assert (top["first"], top["last"]) == ("2026-09-21T14:13:21Z", "2026-09-21T14:13:25Z")
        assert top["fix"] == CODES["endpoint_not_enabled"].fix
        assert sorted((each["endpoint"], each["count"], each["client_id"] or "") for each in causes[1:]) == [
            ("bookings:cancel", 1, CLIENT),
            ("oauth:token", 1, ""),
            ("oauth:token", 1, LEGACY_CLIENT),
        ]
        assert await place.audit.explain("acme", place.clock.ms + 1) == []

    over(tmp_path, action)


def test_a_reply_says_what_to_do_and_keeps_private_reasons(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        for _ in range(2):
            place.clock.ms += 1000
            await place.audit.record(place.refused(reason="private reason", found="private finding"))
        await place.audit.record(place.refused("made_up_code"))
        known, unknown = await place.audit.explain("acme", 0)
        assert CODES["endpoint_not_enabled"].fix in known["reply"]
        assert f"2 requests from your client {CLIENT}" in known["reply"]
        assert "between 2026-09-21T14:13:21Z and 2026-09-21T14:13:22Z" in known["reply"]
        assert known["request_id"] in known["reply"]
        assert "private" not in known["reply"]
        assert "1 request " in unknown["reply"]

    over(tmp_path, action)


def test_a_flood_is_one_record_that_counts_for_each_client(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        place.audit.record_flood(Flood())
        place.audit.record_flood(Flood(refused=1, addresses={}, client_ids={}))
        await place.audit._buffer.flush()
        (cause,) = await place.audit.explain("acme", 0)
        assert (cause["code"], cause["count"]) == ("too_many_failed_authentications", 35)
        (record,) = [each for each in await place.audit.list_records(RecordQuery()) if each.details["count"] == 40]
        assert record.address == "192.0.2.2"
        assert LEGACY_CLIENT not in str(record.details)
        assert expand_checks(record)[-1].found.startswith("40 refusals from 2026-")

    over(tmp_path, action)


def test_an_unknown_tenant_is_said_to_be_unknown(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        with pytest.raises(ProvisioningError) as refused:
            await place.audit.explain("nobody", 0)
        assert refused.value.code == "tenant_unknown"
        with pytest.raises(ProvisioningError):
            await place.audit.list_records(RecordQuery(tenant="nobody"))

    over(tmp_path, action)


def test_a_record_changed_beyond_reading_is_shown_as_that(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        record = place.granted()
        await place.audit.record(record)
        run_sql(path_in(tmp_path), "UPDATE audit_records SET body = '{'")
        (found,) = await place.audit.find(record.request_id)
        assert "audit verify" in str(found.reason)
        assert found.occurred_at == place.clock.ms

    over(tmp_path, action)


def test_the_stored_text_leaves_out_what_is_absent(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        assert b"null" not in encode(place.granted())
        assert encode(place.granted()).startswith(b'{"request_id":"')

    over(tmp_path, action)
