"""Tenants: what making one brings with it, what can be changed, and what can never be."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnilab.tenancy.model.orders import NewTenant, TenantChange
from omnilab.tenancy.store.tenants import TenantStore
from tests.harness.databases import BOTH_ENGINES
from tests.tenancy.estate import ACTOR, Estate, refused, tell

pytestmark = BOTH_ENGINES


def test_a_new_tenant_has_its_default_audience_and_may_read_and_cancel(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        tenant = await estate.tenant("acme", token_quota="600/minute")
        assert tenant["status"] == "active"
        assert tenant["token_quota"] == "600/minute"
        assert tenant["api_quota"] is None
        assert tenant["entitlements"] == ["bookings:cancel", "bookings:read"]
        assert tenant["audience"] == "urn:omnilab:development:acme"
        (audience,) = tenant["audiences"]
        assert audience["endpoints"] == ["bookings:cancel", "bookings:create", "bookings:read"]
        assert (audience["algorithm"], audience["lifetime_seconds"], audience["default"]) == ("ES256", 3600, True)
        assert str(tenant["tenant_id"]).startswith("ten_")
        assert tenant["base_url"] == "https://m2m.example"

    tell(tmp_path, story)


def test_with_a_domain_the_default_audience_is_the_tenants_host(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        tenant = await estate.tenant("acme")
        assert tenant["audience"] == tenant["base_url"] == "https://acme.api.omnilab.example"

    tell(tmp_path, story, domain="omnilab.example")


def test_a_key_is_never_used_twice_and_must_be_a_label(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        await refused("tenant_exists", estate.tenant("acme"))
        for key in ("www", "ab", "Acme", "-acme", "acme-", "a_b_c", "x" * 41, "api", "docs", "aa--x"):
            await refused("tenant_key_invalid", estate.tenant(key))
        assert [each["tenant"] for each in await estate.tenancy.tenants.list_all()] == ["acme"]

    tell(tmp_path, story)


def test_update_changes_only_what_is_given_and_default_takes_a_quota_back(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme", token_quota="5/second", api_quota="7/hour")
        verbs = estate.tenancy.tenants
        changed = await verbs.update("acme", TenantChange(token_quota="default"), actor=ACTOR)
        assert (changed["name"], changed["token_quota"], changed["api_quota"]) == ("Acme", None, "7/hour")
        changed = await verbs.update("acme", TenantChange(name="Acme & Co", api_quota="9/day"), actor=ACTOR)
        assert (changed["name"], changed["token_quota"], changed["api_quota"]) == ("Acme & Co", None, "9/day")
        await refused("nothing_to_change", verbs.update("acme", TenantChange(), actor=ACTOR))
        await refused("quota_invalid", verbs.update("acme", TenantChange(api_quota="lots"), actor=ACTOR))
        await refused("tenant_unknown", verbs.update("acmee", TenantChange(name="x"), actor=ACTOR))

    tell(tmp_path, story)


def test_suspend_is_a_switch_and_says_when_nothing_changed(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        verbs = estate.tenancy.tenants
        first = await verbs.suspend("acme", actor=ACTOR)
        again = await verbs.suspend("acme", actor=ACTOR)
        assert (first["status"], first["changed"], again["changed"]) == ("suspended", True, False)
        assert (await verbs.restore("acme", actor=ACTOR))["status"] == "active"
        assert len(await estate.records("tenants:suspend")) == 1

    tell(tmp_path, story)


def test_many_tenants_are_made_all_or_none(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        orders = [NewTenant(tenant=key, name=key, api_quota="9/second") for key in ("globex", "acme")]
        await refused("tenant_exists", estate.tenancy.bulk.create_tenants(orders, actor=ACTOR))
        assert [each["tenant"] for each in await estate.tenancy.tenants.list_all()] == ["acme"]
        await estate.tenancy.bulk.create_tenants(orders[:1], actor=ACTOR)
        made = await estate.tenancy.tenants.get("globex")
        assert (made["api_quota"], made["entitlements"]) == ("9/second", ["bookings:cancel", "bookings:read"])

    tell(tmp_path, story)


def test_every_change_says_who_made_it(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        tenant = await estate.tenant("acme")
        (record,) = await estate.records("tenants:create")
        assert record.actor == ACTOR
        assert (record.tenant, record.tenant_id, record.outcome) == ("acme", tenant["tenant_id"], "granted")

    tell(tmp_path, story)


SECRET = "omni_dev_" + "a1B2c3D4e5F6g7H8i9J0" * 2 + "abc" + "000000"


@pytest.mark.parametrize(
    "order",
    [
        NewTenant(tenant=SECRET, name="x"),
        NewTenant(tenant="acme", name=SECRET),
        NewTenant(tenant="acme", name="Bearer eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"),
    ],
)
def test_a_credential_is_never_taken_for_a_name_nor_repeated(tmp_path: Path, order: NewTenant) -> None:
    async def story(estate: Estate) -> None:
        words = await refused("value_looks_like_credential", estate.tenancy.tenants.create(order, actor=ACTOR))
        assert SECRET[9:] not in words
        assert "eyJ" not in words
        assert SECRET[9:] not in await refused("tenant_unknown", estate.tenancy.tenants.get(SECRET))

    tell(tmp_path, story)


def test_the_platforms_own_tenant_is_made_once_and_never_shown(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        for _ in range(2):
            await estate.db.write(estate.tenancy.tenants.ensure_platform)
        assert await estate.tenancy.tenants.list_all() == []
        await refused("tenant_unknown", estate.tenancy.tenants.get_id("-"))
        await estate.snapshot.load()
        await estate.tenant("acme")
        assert (await estate.tenancy.tenants.get_id("acme")).startswith("ten_")

    tell(tmp_path, story)


def test_a_deleted_tenant_has_no_key_left_to_reseal(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        made = await estate.tenant("acme")
        await estate.tenant("globex")
        await estate.db.change(lambda tx: TenantStore(tx, made["tenant_id"]).delete())
        assert await estate.tenancy.tenants.reseal() == 0

    tell(tmp_path, story)
