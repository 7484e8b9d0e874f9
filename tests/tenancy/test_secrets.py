"""Secrets: any number of live ones, final revocation, expiry, exposure, use."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import pytest

from omnilab.crypto.random import RequestIds
from omnilab.errors import UnavailableError
from omnilab.storage.database import Database, Unit
from omnilab.tenancy import secret_use
from omnilab.tenancy.model.orders import Rotation
from omnilab.tenancy.model.verdict import KEPT_ADDRESSES
from omnilab.tenancy.new_addresses import NewAddresses
from omnilab.tenancy.service.means import Touched
from omnilab.tenancy.store.secret_addresses import list_addresses
from tests.harness.databases import BOTH_ENGINES
from tests.tenancy.estate import ACTOR, NOON, Estate, digest_of, refused, tell

T = TypeVar("T")

pytestmark = BOTH_ENGINES

DAY_MS = 86_400_000


def test_a_client_has_any_number_of_secrets_and_they_are_never_shown_again(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client_id = made.client.client_id
        estate.clock.ms += 1
        issued = await estate.tenancy.secrets.add(client_id, label="blue", expires_in_seconds=90 * 86_400, actor=ACTOR)
        assert list(issued.document()) == ["client_id", "secret_id", "client_secret"]
        first, second = await estate.tenancy.secrets.list_all(client_id)
        assert [first["secret_id"], second["secret_id"]] == [made.issued.secret_id, issued.secret_id]
        assert (second["label"], second["status"], second["expires_at"]) == ("blue", "live", "2030-06-15T17:46:40.001Z")
        assert (first["use_count"], first["last_used_at"], first["last_address"]) == (0, None, None)
        assert issued.client_secret.reveal() not in repr((first, second, issued))
        assert not estate.db_holds(issued.client_secret.reveal()[9:])

    tell(tmp_path, story)


def test_revoking_is_final_and_says_when_it_was_so_already(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client_id, secret_id = made.client.client_id, made.issued.secret_id
        secrets = estate.tenancy.secrets
        done = await secrets.revoke(client_id, secret_id, actor=ACTOR)
        assert (done["status"], done["changed"]) == ("revoked", True)
        estate.clock.ms += 5000
        again = await secrets.revoke(client_id, secret_id, actor=ACTOR)
        assert (again["changed"], again["revoked_at"]) == (False, done["revoked_at"])
        entry = await estate.seen(client_id)
        assert not entry.has_live_secret(secret_id)
        found = await estate.snapshot.find_credential(client_id, digest_of(made))
        assert found is not None
        assert found[1].revoked_at == NOON
        await refused("secret_unknown", secrets.revoke(client_id, "sec_x", actor=ACTOR))

    tell(tmp_path, story)


def test_expiry_stops_issuing_only(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client(expires_in_seconds=60)
        client_id = made.client.client_id
        estate.clock.ms += 60_000
        (listed,) = await estate.tenancy.secrets.list_all(client_id)
        assert listed["status"] == "expired"
        assert (await estate.seen(client_id)).has_live_secret(made.issued.secret_id)

    tell(tmp_path, story)


def test_exposure_is_noted_once_with_a_record(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client = made.client
        touched = Touched(client.tenant_id, client.tenant, client.client_id, made.issued.secret_id)
        assert await estate.tenancy.secrets.mark_exposed(touched, request_id="018f0000-0000-7000-8000-000000000000")
        estate.clock.ms += DAY_MS
        assert not await estate.tenancy.secrets.mark_exposed(touched)
        (listed,) = await estate.tenancy.secrets.list_all(client.client_id)
        assert (listed["exposed_at"], listed["status"]) == ("2030-03-17T17:46:40Z", "live")
        (record,) = await estate.records("secrets:expose")
        assert record.secret_id == made.issued.secret_id
        assert (await estate.seen(client.client_id)).secrets[0].exposed_at == NOON

    tell(tmp_path, story)


def test_a_label_that_looks_like_a_credential_is_refused(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client_id, text = made.client.client_id, made.issued.client_secret.reveal()
        secrets = estate.tenancy.secrets
        words = await refused("value_looks_like_credential", secrets.add(client_id, label=text, actor=ACTOR))
        assert text[9:17] not in words
        await refused("label_invalid", secrets.add(client_id, label="a\x00b", actor=ACTOR))
        await refused("client_unknown", secrets.add("cli_x", actor=ACTOR))
        words = await refused("client_unknown", secrets.list_all(text))
        assert text[9:17] not in words

    tell(tmp_path, story)


def test_uses_add_up_and_the_last_one_counts(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client_id, tenant_id, secret_id = made.client.client_id, made.client.tenant_id, made.issued.secret_id
        await estate.use.flush()
        for step in range(3):
            estate.use.used(tenant_id, secret_id, NOON + step, f"192.0.2.{step}")
        await estate.use.flush()
        estate.use.used(tenant_id, secret_id, NOON - 50, "192.0.2.9")  # another worker's, older
        await estate.use.flush()
        (listed,) = await estate.tenancy.secrets.list_all(client_id)
        assert listed["use_count"] == 4
        assert (listed["last_used_at"], listed["last_address"]) == ("2030-03-17T17:46:40.002Z", "192.0.2.2")

    tell(tmp_path, story)


def test_uses_that_could_not_be_written_are_kept(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        tenant_id, secret_id = made.client.tenant_id, made.issued.secret_id
        working, estate.use._db = estate.use._db, Broken()  # type: ignore[assignment]
        for step in range(2):
            estate.use.used(tenant_id, secret_id, NOON + step, "192.0.2.1")
            try:
                await estate.use.flush()
            except UnavailableError:
                continue
        estate.use._db = working
        await estate.use.flush()
        (listed,) = await estate.tenancy.secrets.list_all(made.client.client_id)
        assert (listed["use_count"], listed["last_used_at"]) == (2, "2030-03-17T17:46:40.001Z")

    tell(tmp_path, story)


def test_uses_are_written_in_the_background_and_a_failure_does_not_end_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_use, "FLUSH_SECONDS", 0.001)

    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        working, estate.use._db = estate.use._db, Broken()  # type: ignore[assignment]
        estate.use.used(made.client.tenant_id, made.issued.secret_id, NOON, "192.0.2.1")
        running = asyncio.ensure_future(estate.use.run())
        await asyncio.sleep(0.01)
        estate.use._db = working
        async with asyncio.timeout(10):
            while not (await estate.tenancy.secrets.list_all(made.client.client_id))[0]["use_count"]:
                await asyncio.sleep(0.001)
        running.cancel()

    tell(tmp_path, story)


class BrokenLater:
    """A database whose writes fail after so many."""

    def __init__(self, db: Database, *, works: int) -> None:
        self._db = db
        self._left = works

    async def write(self, unit: Unit[T]) -> T:
        if self._left == 0:
            raise UnavailableError("the disk is full")
        self._left -= 1
        return await self._db.write(unit)


class Broken:
    """A database that takes no writes."""

    async def write(self, unit: object) -> None:
        raise UnavailableError("the disk is full")


def test_rotation_is_watched_until_the_old_secret_may_go(tmp_path: Path) -> None:
    """Told with the clock: what `secrets list` says from the rotation to the day on which nobody would notice."""

    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client_id, tenant_id, old = made.client.client_id, made.client.tenant_id, made.issued.secret_id
        secrets = estate.tenancy.secrets

        async def verdicts() -> dict[str, object]:
            await estate.use.flush()
            return {str(each["secret_id"]): each["verdict"] for each in await secrets.list_all(client_id)}

        def use(secret_id: str, *addresses: str) -> None:
            for address in addresses:
                estate.use.used(tenant_id, secret_id, estate.clock.ms, address)

        use(old, "192.0.2.1", "2001:db8::1")
        assert await verdicts() == {old: "in use"}
        estate.clock.ms += 1000
        order = Rotation(overlap_seconds=2 * 86_400, label="green")
        new = (await secrets.rotate(client_id, order, actor=ACTOR)).secret_id
        estate.clock.ms += DAY_MS
        use(new, "192.0.2.1")
        use(old, "2001:db8::2")  # another host of the same network
        estate.clock.ms += DAY_MS + 60_001
        assert (await verdicts())[old] == "quiet since 2030-03-18T17:46:41Z"
        use(new, "192.0.2.1")
        estate.clock.ms += 2 * DAY_MS
        assert str((await verdicts())[old]).startswith("quiet since")  # the IPv6 network has not moved
        use(new, "2001:db8::3")
        assert (await verdicts())[old] == "safe to remove"
        (record,) = await estate.records("secrets:rotate")
        assert (record.secret_id, record.details["overlap_seconds"]) == (new, 2 * 86_400)
        await secrets.revoke(client_id, old, actor=ACTOR)
        assert await verdicts() == {old: None, new: "in use"}

    tell(tmp_path, story)


def test_the_table_of_addresses_stays_bounded(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        for number in range(KEPT_ADDRESSES + 50):
            address = f"198.51.{number // 250}.{number % 250}"
            estate.use.used(made.client.tenant_id, made.issued.secret_id, NOON + number, address)
        await estate.use.flush()
        await estate.use.prune()
        found = await list_addresses(estate.db, made.client.tenant_id, made.client.client_id)
        assert min(found[made.issued.secret_id].values()) == NOON + 50
        assert len(found[made.issued.secret_id]) == KEPT_ADDRESSES

    tell(tmp_path, story)


def test_of_many_addresses_at_once_exactly_the_new_ones_are_told(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        tenant_id, secret_id = made.client.tenant_id, made.issued.secret_id

        async def use_from(numbers: range) -> set[str | None]:
            before = len(await estate.records("secrets:new-address"))
            estate.use._news = NewAddresses(estate.db, RequestIds(estate.clock))  # as after a start
            for number in numbers:
                estate.use.used(tenant_id, secret_id, NOON, f"192.0.2.{number}")
            await estate.use.flush()
            return {record.address for record in (await estate.records("secrets:new-address"))[before:]}

        assert await use_from(range(120)) == set()  # the first addresses of a client are no news
        assert await use_from(range(120)) == set()
        assert await use_from(range(60, 180)) == {f"192.0.2.{number}" for number in range(120, 180)}

    tell(tmp_path, story)


def test_a_new_address_of_another_secret_is_told_and_a_new_client_is_not(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        known, new = await estate.client(), await estate.client()
        tenant_id = known.client.tenant_id
        estate.use.used(tenant_id, known.issued.secret_id, NOON, "192.0.2.1")
        await estate.use.flush()
        second = await estate.tenancy.secrets.add(known.client.client_id, actor=ACTOR)
        estate.use.used(tenant_id, second.secret_id, NOON, "192.0.2.1")  # familiar: the client's other secret knows it
        estate.use.used(tenant_id, second.secret_id, NOON, "192.0.2.2")
        estate.use.used(tenant_id, new.issued.secret_id, NOON, "192.0.2.3")
        await estate.use.flush()
        told = await estate.records("secrets:new-address")
        assert [(record.secret_id, record.address) for record in told] == [(second.secret_id, "192.0.2.2")]

    tell(tmp_path, story)


def test_many_uses_are_written_in_parts_and_those_of_a_failed_part_are_kept(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        for number in range(2 * secret_use.USES_AT_ONCE + 10):
            address = f"198.51.{number // 250}.{number % 250}"
            estate.use.used(made.client.tenant_id, made.issued.secret_id, NOON + number, address)

        async def uses() -> object:
            (listed,) = await estate.tenancy.secrets.list_all(made.client.client_id)
            return listed["use_count"]

        working, estate.use._db = estate.use._db, BrokenLater(estate.db, works=1)  # type: ignore[assignment]
        with pytest.raises(UnavailableError):
            await estate.use.flush()
        assert await uses() == secret_use.USES_AT_ONCE
        estate.use._db = working
        estate.use.used(made.client.tenant_id, made.issued.secret_id, NOON, "198.51.0.1")
        await estate.use.flush()
        assert await uses() == 2 * secret_use.USES_AT_ONCE + 11

    tell(tmp_path, story)


def test_no_secret_lives_longer_than_the_deployment_lets_it(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client_id = made.client.client_id
        assert made.issued.expires_at == NOON + 90 * DAY_MS
        secrets = estate.tenancy.secrets
        shorter = await secrets.add(client_id, expires_in_seconds=86_400, actor=ACTOR)
        assert shorter.expires_at == NOON + DAY_MS
        longer = secrets.add(client_id, expires_in_seconds=91 * 86_400, actor=ACTOR)
        assert "90 days" in await refused("secret_lifetime_too_long", longer)

    tell(tmp_path, story, secret_max_age_seconds=90 * 86_400)
