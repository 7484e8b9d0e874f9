"""Clients: the contract's object, who may be granted what, partners, switches."""

from __future__ import annotations

from pathlib import Path

from omnilab.crypto.client_secret import Shape, read_shape
from omnilab.tenancy.model.orders import ClientChange, NewAudience, NewClient
from tests.harness.databases import BOTH_ENGINES
from tests.tenancy.estate import ACTOR, Estate, refused, tell

pytestmark = BOTH_ENGINES

CONTRACT = ["client_id", "client_secret", "secret_id", "audience", "base_url", "token_url", "issuer", "allowed"]


def test_create_answers_with_the_contracts_object(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client(allow=["bookings:cancel", "bookings:read"])
        document = made.document()
        assert list(document) == CONTRACT
        assert document["allowed"] == ["bookings:cancel", "bookings:read"]
        assert document["audience"] == "https://acme.api.omnilab.example"
        assert document["token_url"] == "https://acme.api.omnilab.example/v1/oauth:token"
        assert document["issuer"] == "https://m2m.example"
        assert read_shape(str(document["client_secret"]), "staging") is Shape.WELL_FORMED
        assert str(document["client_secret"]) not in repr(made)
        shown = await estate.tenancy.clients.get(made.client.client_id)
        assert "client_secret" not in shown
        assert shown["issuer"] == "https://m2m.example"

    tell(tmp_path, story, environment="staging", domain="omnilab.example")


def test_in_development_allowing_also_entitles(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        made = await estate.client(allow=["bookings:create"])
        assert made.document()["allowed"] == ["bookings:create"]
        assert "bookings:create" in (await estate.tenancy.tenants.get("acme"))["entitlements"]
        assert (await estate.seen(made.client.client_id)).allowed == {"bookings:create"}

    tell(tmp_path, story)


def test_elsewhere_the_tenant_must_be_entitled_first(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        words = await refused("endpoint_not_entitled", estate.client(allow=["bookings:create"]))
        assert "omnilab entitlements allow acme bookings:create" in words
        assert await estate.tenancy.clients.list_all(tenant="acme") == []
        await estate.tenancy.entitlements.allow("acme", ["bookings:create"], actor=ACTOR)
        await estate.client(allow=["bookings:create"])

    tell(tmp_path, story, environment="production")


def test_an_endpoint_that_no_token_could_carry_is_refused(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        words = await refused("endpoint_unknown", estate.client(allow=["bookings:raed"]))
        assert "Did you mean bookings:read?" in words
        await refused("endpoint_invalid", estate.client(allow=["bookings.read"]))
        order = NewAudience(audience="https://orders.example", endpoints=("orders:read",))
        await estate.tenancy.audiences.create("acme", order, actor=ACTOR)
        await refused("endpoint_not_in_audience", estate.client(allow=["orders:read"]))
        made = await estate.client(allow=["orders:read"], audiences=("https://orders.example",))
        assert made.document()["audience"] == "https://orders.example"
        words = await refused("audience_unknown", estate.client(audiences=("https://order.example",)))
        assert "Did you mean https://orders.example?" in words

    tell(tmp_path, story)


def test_update_changes_only_what_is_given(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        order = NewAudience(audience="https://orders.example", endpoints=("orders:read",))
        await estate.tenancy.audiences.create("acme", order, actor=ACTOR)
        made = await estate.client(technical_contact="dev@acme.example", token_quota="5/minute")
        client_id = made.client.client_id
        verbs = estate.tenancy.clients

        async def change(**given: object) -> dict[str, object]:
            return await verbs.update(client_id, ClientChange(**given), actor=ACTOR)  # type: ignore[arg-type]

        renamed = await change(name="Kiosk backend")
        assert (renamed["name"], renamed["technical_contact"]) == ("Kiosk backend", "dev@acme.example")
        both = ("https://orders.example", "urn:omnilab:development:acme")
        moved = await change(audiences=both, token_quota="default", api_quota="9/second")
        assert (moved["audiences"], moved["token_quota"], moved["api_quota"]) == (list(both), None, "9/second")
        assert moved["audience"] == "urn:omnilab:development:acme"
        assert set((await estate.seen(client_id)).audiences) == set(both)
        await refused("technical_contact_invalid", change(technical_contact="dev at acme"))
        await refused("nothing_to_change", change())
        await refused("client_unknown", verbs.update("cli_none", ClientChange(name="x"), actor=ACTOR))
        mailed = await change(technical_contact="ops@acme.example")
        assert mailed["technical_contact"] == "ops@acme.example"

    tell(tmp_path, story)


def test_disable_and_enable_are_switches(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        client_id = (await estate.client()).client.client_id
        verbs = estate.tenancy.clients
        assert (await verbs.disable(client_id, actor=ACTOR))["changed"] is True
        assert (await verbs.disable(client_id, actor=ACTOR))["changed"] is False
        assert not (await estate.seen(client_id)).active
        assert (await verbs.enable(client_id, actor=ACTOR))["status"] == "active"
        assert (await estate.seen(client_id)).active

    tell(tmp_path, story)


def test_a_partner_has_one_client_per_tenant_and_all_are_disabled_at_one_stroke(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        for key in ("acme", "globex"):
            await estate.tenant(key)
        ours = (await estate.client("acme")).client.client_id
        theirs = [(await estate.client(key, partner="Kiosk Ltd")).client.client_id for key in ("acme", "globex")]
        assert theirs[0] in await refused("partner_client_exists", estate.client("acme", partner="Kiosk Ltd"))
        verbs = estate.tenancy.clients
        assert [each["client_id"] for each in await verbs.list_all(partner="Kiosk Ltd")] == theirs
        assert [each["client_id"] for each in await verbs.list_all(tenant="acme", partner="Kiosk Ltd")] == theirs[:1]
        await verbs.disable(theirs[0], actor=ACTOR)
        done = await verbs.disable_partner("Kiosk Ltd", actor=ACTOR)
        assert [(each["client_id"], each["status"], each["changed"]) for each in done] == [
            (theirs[0], "disabled", False),
            (theirs[1], "disabled", True),
        ]
        assert (await verbs.get(ours))["status"] == "active"
        assert len(await verbs.list_all()) == 3
        await refused("partner_unknown", verbs.disable_partner("Kiosk", actor=ACTOR))
        await refused("tenant_unknown", verbs.list_all(tenant="nobody"))

    tell(tmp_path, story)


def test_a_failed_create_leaves_nothing(tmp_path: Path) -> None:
    async def story(estate: Estate) -> None:
        await estate.tenant("acme")
        order = NewClient(tenant="acme", name="x", allow=("bookings:create", "bookings:nothing"))
        await refused("endpoint_unknown", estate.tenancy.clients.create(order, actor=ACTOR))
        assert await estate.tenancy.clients.list_all() == []
        assert "bookings:create" not in (await estate.tenancy.tenants.get("acme"))["entitlements"]
        assert await estate.records("clients:create") == []

    tell(tmp_path, story)
