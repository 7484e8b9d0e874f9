"""Entitlements, grants and audiences: who may be granted what, and what counts."""

from __future__ import annotations

from pathlib import Path

from omnilab.tenancy.model.orders import AudienceChange, NewAudience
from tests.harness.databases import BOTH_ENGINES
from tests.tenancy.estate import ACTOR, Estate, refused, tell

pytestmark = BOTH_ENGINES

DEFAULT = "urn:omnilab:development:acme"


def test_a_grant_counts_while_the_tenant_is_entitled(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        client_id = (await estate.client(allow=["bookings:read", "bookings:cancel"])).client.client_id
        entitlements = estate.tenancy.entitlements
        done = await entitlements.withdraw("acme", ["bookings:cancel"], actor=ACTOR)
        assert done == {"tenant": "acme", "entitlements": ["bookings:read"], "changed": ["bookings:cancel"]}
        entry = await estate.seen(client_id)
        assert (entry.grants, entry.allowed) == ({"bookings:read", "bookings:cancel"}, {"bookings:read"})
        listed = await estate.tenancy.grants.list_all(client_id)
        assert [(each["endpoint"], each["entitled"]) for each in listed] == [
            ("bookings:cancel", False),
            ("bookings:read", True),
        ]
        await entitlements.allow("acme", ["bookings:cancel"], actor=ACTOR)
        assert (await estate.seen(client_id)).allowed == {"bookings:read", "bookings:cancel"}

    tell(tmp_path, story)


def test_grants_need_the_entitlement_in_every_environment(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        client_id = (await estate.client()).client.client_id
        grants = estate.tenancy.grants
        await refused("endpoint_not_entitled", grants.allow(client_id, ["bookings:create"], actor=ACTOR))
        await refused("endpoint_unknown", grants.allow(client_id, ["bookings:write"], actor=ACTOR))
        await refused("client_unknown", grants.allow("cli_x", ["bookings:read"], actor=ACTOR))

    tell(tmp_path, story)


def test_allow_and_withdraw_say_what_they_changed(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        client_id = (await estate.client()).client.client_id
        grants = estate.tenancy.grants
        done = await grants.allow(client_id, ["bookings:cancel", "bookings:read"], actor=ACTOR)
        assert done["changed"] == ["bookings:cancel"]
        assert done["allowed"] == ["bookings:cancel", "bookings:read"]
        assert (await grants.allow(client_id, ["bookings:cancel"], actor=ACTOR))["changed"] == []
        assert (await grants.withdraw(client_id, ["bookings:read"], actor=ACTOR))["changed"] == ["bookings:read"]
        assert (await grants.withdraw(client_id, ["bookings:read"], actor=ACTOR))["changed"] == []
        assert (await estate.seen(client_id)).allowed == {"bookings:cancel"}
        again = await estate.tenancy.entitlements.allow("acme", ["bookings:read"], actor=ACTOR)
        assert again["changed"] == []
        assert len(await estate.records("grants:allow")) == 1

    tell(tmp_path, story)


def test_entitlements_are_listed_with_their_date(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        listed = await estate.tenancy.entitlements.list_all("acme")
        assert listed[0] == {"tenant": "acme", "endpoint": "bookings:cancel", "created_at": "2030-03-17T17:46:40Z"}
        await refused("endpoint_unknown", estate.tenancy.entitlements.allow("acme", ["x:y"], actor=ACTOR))

    tell(tmp_path, story)


def test_audiences_are_made_changed_and_listed(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        audiences = estate.tenancy.audiences
        order = NewAudience(audience="https://orders.example/v1", algorithm="rs256", endpoints=("orders:read",))
        made = await audiences.create("acme", order, actor=ACTOR)
        assert (made["algorithm"], made["lifetime_seconds"], made["default"]) == ("RS256", 3600, False)
        change = AudienceChange(lifetime_seconds=60)
        changed = await audiences.update("acme", "https://orders.example/v1", change, actor=ACTOR)
        assert (changed["algorithm"], changed["lifetime_seconds"]) == ("RS256", 60)
        assert changed["endpoints"] == ["orders:read"]
        await audiences.update("acme", DEFAULT, AudienceChange(algorithm="EdDSA"), actor=ACTOR)
        listed = await audiences.list_all("acme")
        assert [each["audience"] for each in listed] == [DEFAULT, "https://orders.example/v1"]
        client_id = (await estate.client()).client.client_id
        assert (await estate.seen(client_id)).audiences[DEFAULT].algorithm == "EdDSA"

    tell(tmp_path, story)


def test_an_endpoint_belongs_to_one_audience_and_names_stay_apart(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        for key in ("acme", "globex"):
            await estate.tenant(key)
        audiences = estate.tenancy.audiences

        async def create(uri: str, **given: object) -> dict[str, object]:
            order = NewAudience(audience=uri, **given)  # type: ignore[arg-type]
            return await audiences.create("acme", order, actor=ACTOR)

        await refused("endpoint_taken", create("https://x.example", endpoints=("bookings:read",)))
        await refused("audience_reserved", create("urn:omnilab:development:globex"))
        await refused("audience_reserved", create("urn:omnilab:development:nobody-yet"))
        await refused("audience_exists", create(DEFAULT))
        await refused("audience_invalid", create("orders"))
        await refused("audience_invalid", create("https://user:pass@orders.example"))
        await refused("algorithm_invalid", create("https://x.example", algorithm="HS256"))
        await refused("lifetime_invalid", create("https://x.example", lifetime_seconds=86_401))
        await refused(
            "audience_unknown", audiences.update("acme", "x:y", AudienceChange(algorithm="ES256"), actor=ACTOR)
        )
        await refused("nothing_to_change", audiences.update("acme", DEFAULT, AudienceChange(), actor=ACTOR))
        await create("https://x.example", endpoints=("orders:read",))
        taken = AudienceChange(endpoints=("orders:read", "bookings:read"))
        await refused("endpoint_taken", audiences.update("acme", DEFAULT, taken, actor=ACTOR))

    tell(tmp_path, story)
