"""The snapshot: whole entries, complete or bounded, never older than the lease allows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, update

from omnilab.crypto.client_secret import secret_digest
from omnilab.errors import UnavailableError
from omnilab.storage.changes import LEASE_SECONDS, Change, append_change
from omnilab.storage.database import Transaction
from omnilab.storage.statement import Statement
from omnilab.tenancy.model.orders import NewClient, NewTenant
from omnilab.tenancy.snapshot import Snapshot
from omnilab.tenancy.store import entries
from omnilab.tenancy.tables import clients, tenants
from tests.harness.databases import BOTH_ENGINES
from tests.tenancy.estate import ACTOR, PEPPER, Estate, digest_of, tell

pytestmark = BOTH_ENGINES

_DELETE_CLIENT = Statement(
    update(clients).where(clients.c.client_id == bindparam("wanted")).values(status="deleted"), "wanted"
)
_DELETE_TENANT = Statement(
    update(tenants).where(tenants.c.tenant_id == bindparam("wanted")).values(status="deleted"), "wanted"
)
BOTH_FORMS = pytest.mark.parametrize("max_clients", [1000, 2])


@BOTH_FORMS
def test_a_credential_is_found_by_its_digest_alone(tmp_path: Path, max_clients: int) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(4)]
        for each in made + made:
            found = await estate.snapshot.find_credential(each.client.client_id, digest_of(each))
            assert found is not None
            entry, secret = found
            assert (entry.client_id, secret.secret_id) == (each.client.client_id, each.issued.secret_id)
            assert entry.tenant.tenant == "acme"
            wrong = secret_digest(PEPPER, each.client.client_id, "wrong")
            assert await estate.snapshot.find_credential(each.client.client_id, wrong) is None
            assert await estate.snapshot.find_credential("cli_other", digest_of(each)) is None
        assert estate.snapshot.complete == (max_clients > 4)
        assert len(estate.snapshot) == min(4, max_clients)

    tell(tmp_path, story, max_clients=max_clients)


@BOTH_FORMS
def test_within_the_lease_a_change_is_known_once_memory_has_caught_up(tmp_path: Path, max_clients: int) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(3)]
        client_id = made[0].client.client_id
        await estate.seen(client_id)
        issued = await estate.tenancy.secrets.add(client_id, label="new", actor=ACTOR)
        behind = await estate.snapshot.find_client(client_id)
        assert behind is not None
        assert not behind.has_live_secret(issued.secret_id)
        await estate.snapshot.catch_up()
        current = await estate.snapshot.find_client(client_id)
        assert current is not None
        assert current.has_live_secret(issued.secret_id)

    tell(tmp_path, story, max_clients=max_clients)


def test_without_a_feed_memory_cannot_catch_up(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        alone = Snapshot(estate.db, open_contact_key=estate.tenancy.open_contact_key)
        with pytest.raises(UnavailableError):
            await alone.catch_up()

    tell(tmp_path, story)


@BOTH_FORMS
def test_every_change_reaches_the_entry(tmp_path: Path, max_clients: int) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(3)]
        client_id = made[0].client.client_id
        tenancy = estate.tenancy
        before = await estate.seen(client_id)
        assert before.active
        assert before.tenant.active
        assert before.allowed == {"bookings:read"}
        before.memo["template"] = b"x"

        await tenancy.tenants.suspend("acme", actor=ACTOR)
        suspended = await estate.seen(client_id)
        assert not suspended.tenant.active
        assert before.tenant.active  # who holds the old entry keeps a whole old one
        assert suspended.memo == {}
        await tenancy.tenants.restore("acme", actor=ACTOR)
        await tenancy.grants.allow(client_id, ["bookings:cancel"], actor=ACTOR)
        await tenancy.entitlements.withdraw("acme", ["bookings:read"], actor=ACTOR)
        assert (await estate.seen(client_id)).allowed == {"bookings:cancel"}
        await tenancy.clients.disable(client_id, actor=ACTOR)
        assert not (await estate.seen(client_id)).active
        issued = await tenancy.secrets.add(client_id, label="new", actor=ACTOR)
        entry = await estate.seen(client_id)
        secret = entry.secret(issued.secret_id)
        assert secret is not None
        assert secret.label == "new"
        assert entry.secret("sec_x") is None
        assert not entry.has_live_secret("sec_x")
        await estate.feed.catch_up()
        tenant = await estate.snapshot.find_tenant("acme")
        assert tenant is not None
        assert tenant.active
        assert len(tenant.contact_key) == 32

    tell(tmp_path, story, max_clients=max_clients)


@BOTH_FORMS
def test_what_was_made_a_moment_ago_is_found_within_the_lease(tmp_path: Path, max_clients: int) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        for _ in range(3):
            await estate.client()
        await estate.feed.catch_up()
        await estate.tenant("globex")
        made = await estate.client("globex")
        assert await estate.snapshot.find_credential(made.client.client_id, digest_of(made)) is not None
        late = await estate.client("globex")
        assert await estate.snapshot.find_client(late.client.client_id) is not None
        await estate.tenant("initech")
        assert await estate.snapshot.find_tenant("initech") is not None
        assert await estate.snapshot.find_tenant("nobody") is None
        assert await estate.snapshot.find_client("cli_nobody") is None

    tell(tmp_path, story, max_clients=max_clients)


@BOTH_FORMS
def test_without_a_lease_the_database_is_asked_and_without_it_nothing_is_decided(
    tmp_path: Path, max_clients: int
) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(3)][-1]
        client_id = made.client.client_id
        await estate.seen(client_id)
        await estate.tenancy.clients.disable(client_id, actor=ACTOR)
        held = await estate.snapshot.find_client(client_id)
        assert held is not None
        assert held.active
        estate.clock.seconds += LEASE_SECONDS + 0.1
        for found in (
            await estate.snapshot.find_client(client_id),
            (await estate.snapshot.find_credential(client_id, digest_of(made)) or [None])[0],
        ):
            assert found is not None
            assert not found.active
        estate.clock.seconds += LEASE_SECONDS + 0.1
        estate.snapshot.follow(LostFeed())
        with pytest.raises(UnavailableError):
            await estate.snapshot.find_client(client_id)
        with pytest.raises(UnavailableError):
            await estate.snapshot.find_credential(client_id, digest_of(made))
        with pytest.raises(UnavailableError):
            await estate.snapshot.find_tenant("acme")

    tell(tmp_path, story, max_clients=max_clients)


def test_a_snapshot_without_a_feed_decides_nothing(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        snapshot = Snapshot(estate.db, open_contact_key=estate.tenancy.open_contact_key)
        with pytest.raises(UnavailableError):
            await snapshot.find_client("cli_x")

    tell(tmp_path, story)


def test_the_first_load_is_what_the_changes_would_have_made(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        for key in ("acme", "globex"):
            await estate.tenant(key)
        made = [await estate.client(key) for key in ("acme", "globex", "acme")]
        await estate.tenancy.secrets.add(made[0].client.client_id, actor=ACTOR)
        followed = [picture_of(await estate.seen(each.client.client_id)) for each in made]
        await estate.snapshot.load()
        loaded = [picture_of(await estate.seen(each.client.client_id)) for each in made]
        assert loaded == followed
        one, _, other = [await estate.seen(each.client.client_id) for each in made]
        assert one.grants is other.grants
        assert one.audiences is other.audiences

    tell(tmp_path, story)


def test_many_changes_at_once_read_everything_anew(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        entry = await estate.seen(made.client.client_id)
        changes = [Change(number, entry.tenant.tenant_id, "client", f"cli_{number}") for number in range(3000)]
        await estate.snapshot.apply(changes)
        assert len(estate.snapshot) == 1
        await estate.snapshot.apply([Change(1, "ten_gone", "tenant", None), Change(2, "ten_gone", "client", "cli_x")])
        await estate.snapshot.apply([Change(3, "ten_0", "keys", None)])
        assert await estate.snapshot.find_client("cli_x") is None

    tell(tmp_path, story)


def test_growing_beyond_the_limit_turns_the_snapshot_into_a_bounded_cache(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        first = [await estate.client() for _ in range(3)]
        await estate.feed.catch_up()
        assert estate.snapshot.complete
        more = [await estate.client() for _ in range(3)]
        await estate.feed.catch_up()
        assert not estate.snapshot.complete
        assert len(estate.snapshot) <= 4
        for each in first + more:
            assert await estate.snapshot.find_credential(each.client.client_id, digest_of(each)) is not None
            assert len(estate.snapshot) <= 4

    tell(tmp_path, story, max_clients=4)


def test_the_bounded_cache_keeps_what_is_asked_for(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(5)]
        ids = [each.client.client_id for each in made]
        for client_id in ids[:3]:
            await estate.snapshot.find_client(client_id)
        popular = await estate.snapshot.find_client(ids[0])
        await estate.snapshot.find_client(ids[3])  # pushes out the one asked for longest ago
        assert await estate.snapshot.find_client(ids[0]) is popular

    tell(tmp_path, story, max_clients=3)


def test_tenants_are_bounded_too(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        keys = [f"tenant{number}" for number in range(6)]
        for key in keys:
            await estate.tenant(key)
        made = [await estate.client(key) for key in keys]
        for _ in range(2):
            for key, each in zip(keys, made, strict=True):
                found = await estate.snapshot.find_credential(each.client.client_id, digest_of(each))
                assert found is not None
                assert found[0].tenant.tenant == key
                tenant = await estate.snapshot.find_tenant(key)
                assert tenant is not None
                assert tenant.tenant == key
        assert len(estate.snapshot._picture.tenants) <= 3

    tell(tmp_path, story, max_clients=3)


def test_a_change_that_comes_while_an_entry_is_read_is_not_lost(tmp_path: Path) -> None:
    """On a database that answers late, the old answer must neither be kept nor overwrite a newer one."""

    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(3)]
        client_id = made[0].client.client_id
        slow = SlowReader(estate.db)
        snapshot = Snapshot(slow, open_contact_key=estate.tenancy.open_contact_key, max_clients=2)
        snapshot.follow(KeptFeed())
        await snapshot.load()
        slow.hold()
        reading = asyncio.ensure_future(snapshot.find_client(client_id))
        await slow.waiting.wait()  # the old rows are read and on their way
        await estate.tenancy.clients.disable(client_id, actor=ACTOR)
        change = Change(99, made[0].client.tenant_id, "client", client_id)
        applying = asyncio.ensure_future(snapshot.apply([change]))
        await asyncio.sleep(0)
        slow.release()
        await asyncio.gather(reading, applying)
        entry = await snapshot.find_client(client_id)
        assert entry is not None
        assert not entry.active

    tell(tmp_path, story)


def test_two_replacements_at_once_end_with_the_newer(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client()
        client = made.client
        slow = SlowReader(estate.db)
        snapshot = Snapshot(slow, open_contact_key=estate.tenancy.open_contact_key)
        snapshot.follow(KeptFeed())
        await snapshot.load()
        change = Change(99, client.tenant_id, "client", client.client_id)
        slow.hold()
        first = asyncio.ensure_future(snapshot.apply([change]))
        await slow.waiting.wait()
        await estate.tenancy.clients.disable(client.client_id, actor=ACTOR)
        second = asyncio.ensure_future(snapshot.apply([change]))
        await asyncio.sleep(0)
        slow.release()
        await asyncio.gather(first, second)
        entry = await snapshot.find_client(client.client_id)
        assert entry is not None
        assert not entry.active

    tell(tmp_path, story)


@BOTH_FORMS
def test_a_tenant_replaced_while_its_client_is_read_counts(tmp_path: Path, max_clients: int) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(3)]
        client = made[0].client
        slow = SlowReader(estate.db)
        snapshot = Snapshot(slow, open_contact_key=estate.tenancy.open_contact_key, max_clients=max_clients)
        snapshot.follow(KeptFeed())
        await snapshot.load()
        await snapshot.find_tenant("acme")
        slow.hold()
        reading = asyncio.ensure_future(snapshot.find_client(client.client_id))
        await asyncio.sleep(0)
        await estate.tenancy.tenants.suspend("acme", actor=ACTOR)
        slow.release()
        await asyncio.gather(reading, snapshot.apply([Change(99, client.tenant_id, "tenant", None)]))
        entry = await snapshot.find_client(client.client_id)
        assert entry is not None
        assert not entry.tenant.active

    tell(tmp_path, story, max_clients=max_clients)


def test_a_client_read_under_an_old_tenant_is_put_under_the_new_one(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = [await estate.client() for _ in range(3)]
        client = made[0].client
        slow = SlowReader(estate.db)
        snapshot = Snapshot(slow, open_contact_key=estate.tenancy.open_contact_key, max_clients=2)
        snapshot.follow(KeptFeed())
        await snapshot.find_tenant("acme")
        slow.hold(only=entries._CLIENT)
        reading = asyncio.ensure_future(snapshot.find_client(client.client_id))
        await slow.waiting.wait()
        await estate.tenancy.tenants.suspend("acme", actor=ACTOR)
        await snapshot.apply([Change(99, client.tenant_id, "tenant", None)])
        assert await snapshot.find_tenant("acme") is not None
        slow.release()
        found = await reading
        assert found is not None
        assert not found.tenant.active

    tell(tmp_path, story)


@BOTH_FORMS
def test_what_is_deleted_counts_as_absent(tmp_path: Path, max_clients: int) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        tenant_id = (await estate.tenant("globex"))["tenant_id"]
        made = [await estate.client(key) for key in ("acme", "acme", "globex")]
        for each in made:
            await estate.seen(each.client.client_id)
        gone, _, orphan = [each.client for each in made]

        async def unit(tx: Transaction) -> None:
            await tx.execute(_DELETE_CLIENT, gone.client_id)
            await tx.execute(_DELETE_TENANT, tenant_id)
            await append_change(tx, gone.tenant_id, "client", gone.client_id, now_ms=0)
            await append_change(tx, str(tenant_id), "tenant", now_ms=0)

        await estate.db.change(unit)
        await estate.feed.catch_up()
        for each in (made[0], made[2]):
            assert await estate.snapshot.find_client(each.client.client_id) is None
            assert await estate.snapshot.find_credential(each.client.client_id, digest_of(each)) is None
        assert await estate.snapshot.find_tenant("globex") is None
        await estate.snapshot.load()
        assert await estate.snapshot.find_client(orphan.client_id) is None

    tell(tmp_path, story, max_clients=max_clients)


def test_odd_sets_of_rights_are_shared_only_while_they_are_few(tmp_path: Path, monkeypatch: Any) -> None:
    async def story(estate: Estate) -> None:
        monkeypatch.setattr(entries, "_SHARED_SETS", 1)
        await estate.tenant("acme")
        rights = ("bookings:read", "bookings:cancel", "bookings:create")
        made = [await estate.client(allow=rights[:count]) for count in (0, 1, 2, 3)]
        for count, each in enumerate(made):
            assert (await estate.seen(each.client.client_id)).allowed == set(rights[:count])

    tell(tmp_path, story)


def test_a_large_installation_loads_page_by_page(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        bulk = estate.tenancy.bulk
        await bulk.create_tenants([NewTenant(tenant=f"tenant{n}", name="T") for n in range(7)], actor=ACTOR)
        orders = [
            NewClient(tenant=f"tenant{n % 7}", name="C", allow=("bookings:read", "bookings:create"))
            for n in range(6000)
        ]
        made = await bulk.create_clients(orders, actor=ACTOR)
        await estate.feed.catch_up()
        assert len(estate.snapshot) == 6000
        for each in made[::500]:
            found = await estate.snapshot.find_credential(each.client.client_id, digest_of(each))
            assert found is not None
            assert found[0].allowed == {"bookings:read", "bookings:create"}
            assert each.document()["allowed"] == ["bookings:create", "bookings:read"]

    tell(tmp_path, story, max_clients=10_000)


class LostFeed:
    """A feed whose database is gone."""

    def fresh(self) -> bool:
        return False

    async def catch_up(self) -> None:
        raise UnavailableError("no database")


class KeptFeed:
    """A feed that has just been confirmed; the test applies changes itself."""

    def fresh(self) -> bool:
        return True

    async def catch_up(self) -> None:
        return


class SlowReader:
    """Reads at once but, while held, hands the rows over late, as a database across a network may."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = asyncio.Event()

    def hold(self, only: Any = None) -> None:
        self._only = only
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def fetch(self, statement: Any, *args: Any) -> Any:
        rows = await self._reader.fetch(statement, *args)
        if not self._open.is_set() and self._only in {None, statement}:
            self.waiting.set()
            await self._open.wait()
        return rows

    async def fetch_one(self, statement: Any, *args: Any) -> Any:
        rows = await self.fetch(statement, *args)
        return rows[0] if rows else None


def picture_of(entry: Any) -> tuple[Any, ...]:
    secrets = tuple((each.secret_id, each.digest, each.label, each.revoked_at) for each in entry.secrets)
    audiences = {uri: (each.algorithm, each.endpoints) for uri, each in entry.audiences.items()}
    return (entry.client_id, entry.name, entry.active, entry.tenant.tenant, entry.allowed, secrets, audiences)
