"""Cancel and create: the rules, and that each happens once whatever runs at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from omnilab.audit.model import Actor
from omnilab.bookings.model.booking import CANCELLED, CHECKED_IN, CONFIRMED, WAITLISTED, Booking, Slot
from omnilab.bookings.service import CancelOrder, ImportTarget
from omnilab.bookings.service.calls import cancel_in
from omnilab.bookings.service.seeding import BookingSeeder, SeedPart
from omnilab.bookings.store import BookingWriter
from omnilab.errors import ConflictError, ProvisioningError
from omnilab.storage.database import Transaction
from tests.bookings.rig import ACME, HOUR_MS, NOW_MS, OTHER, START_MS, Rig, outcome, with_rig
from tests.harness.databases import BOTH_ENGINES

pytestmark = BOTH_ENGINES


async def put(rig: Rig, status: str, booking_id: str = "b1") -> None:
    """A booking in a state that no call of the API leads to."""
    booking = Booking(
        booking_id, status, "contact-1", "spring", "event-1", None, None, "slot-1", START_MS, START_MS + HOUR_MS,
        None, NOW_MS, None, None,
    )  # fmt: skip

    async def unit(tx: Transaction) -> None:
        store = BookingWriter(tx, ACME)
        if await store.find_slot("slot-1") is None:
            await store.add_slot(Slot("slot-1", "spring", "event-1", START_MS, START_MS + HOUR_MS, 5, 0))
        if status in (CONFIRMED, CHECKED_IN):
            assert await store.take_places("slot-1", 1)
        await store.add(booking)

    await rig.db.write(unit)


def test_a_created_booking_is_confirmed_and_holds_a_place(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        answer = await rig.create("b1", event_title="Tasting", event_location="Room 5", ticket_type="Guest")
        assert answer.status == 201
        assert msgspec.json.decode(answer.body) == {
            "booking_id": "b1",
            "booking_status": "CONFIRMED",
            "external_id": "contact-1",
            "interaction_id": "spring",
            "event_id": "event-1",
            "event_title": "Tasting",
            "event_location": "Room 5",
            "slot_id": "slot-1",
            "slot_start_date": "2027-01-26T21:46:40Z",
            "slot_end_date": "2027-01-26T22:46:40Z",
            "ticket_type": "Guest",
            "created_at": "2027-01-15T08:00:00Z",
            "cancelled_at": None,
            "checked_in_at": None,
        }
        assert await rig.places() == 1

    with_rig(tmp_path, action)


def test_an_id_is_made_where_none_is_given(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        made = {msgspec.json.decode((await rig.create()).body)["booking_id"] for _ in range(3)}
        assert len(made) == 3
        assert all(booking_id.startswith("bkg_") for booking_id in made)

    with_rig(tmp_path, action)


def test_a_cancelled_booking_stays_and_frees_its_place(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1", capacity=1)
        rig.clock.at_ms += 5
        answer = await rig.cancel("b1")
        body = msgspec.json.decode(answer.body)
        assert (answer.status, body["booking_status"]) == (200, "CANCELLED")
        assert body["cancelled_at"] == "2027-01-15T08:00:00.005Z"
        assert await rig.places() == 0
        assert await rig.list_ids(statuses=("CANCELLED",)) == (["b1"], 1)
        assert await outcome(rig.create("b2", capacity=1)) == 201

    with_rig(tmp_path, action)


@pytest.mark.parametrize(
    ("status", "expected", "places"),
    [
        (CONFIRMED, 200, 0),
        (WAITLISTED, 200, 0),
        (CANCELLED, "booking_already_cancelled", 0),
        (CHECKED_IN, "booking_checked_in", 1),
    ],
)
def test_what_can_be_cancelled(tmp_path: Path, status: str, expected: int | str, places: int) -> None:
    async def action(rig: Rig) -> None:
        await put(rig, status)
        assert await outcome(rig.cancel("b1")) == expected
        assert await rig.places() == places

    with_rig(tmp_path, action)


def test_another_contacts_and_another_tenants_booking_is_the_same_as_none(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1")
        told = []
        for booking_id, contact, tenant_id in (
            ("b1", "contact-2", ACME),
            ("b1", "contact-1", OTHER),
            ("none", "contact-1", ACME),
        ):
            with pytest.raises(ConflictError) as refused:
                await rig.cancel(booking_id, contact=contact, origin=rig.origin(tenant_id))
            told.append((refused.value.code, refused.value.detail, refused.value.errors, refused.value.found))
        assert told[0] == told[1] == told[2]
        assert told[0][0] == "booking_not_found"
        assert (await rig.booking("b1")).booking_status == CONFIRMED

    with_rig(tmp_path, action)


def test_ids_are_taken_per_tenant(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1")
        assert await outcome(rig.create("b1", contact="contact-2", slot_id="slot-2")) == "booking_exists"
        assert await outcome(rig.create("b1", tenant_id=OTHER, capacity=3)) == 201
        assert await rig.places() == 1
        assert await rig.list_ids("contact-2") == ([], 0)

    with_rig(tmp_path, action)


def test_a_refused_create_leaves_nothing_behind(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1", capacity=1)
        assert await outcome(rig.create("b2", capacity=1)) == "slot_full"
        assert await outcome(rig.create("b1", slot_id="slot-2")) == "booking_exists"
        assert await rig.list_ids() == (["b1"], 1)
        with pytest.raises(AssertionError):
            await rig.places("slot-2")

    with_rig(tmp_path, action)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, 201),
        ({"any_capacity": True, "capacity": None}, 201),
        ({"capacity": 6}, "slot_mismatch"),
        ({"capacity": None}, "slot_mismatch"),
        ({"start_ms": START_MS + 1}, "slot_mismatch"),
        ({"event_id": "event-2"}, "slot_mismatch"),
        ({"interaction_id": "autumn"}, "slot_mismatch"),
        ({"slot_id": "slot-2", "capacity": 6}, 201),
    ],
)
def test_a_slot_is_what_its_first_booking_said(tmp_path: Path, other: dict[str, object], expected: int | str) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1", capacity=5)
        assert await outcome(rig.create("b2", **({"capacity": 5} | other))) == expected

    with_rig(tmp_path, action)


def test_an_unlimited_slot_is_never_full(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        assert {await outcome(rig.create()) for _ in range(50)} == {201}
        assert await rig.places() == 50

    with_rig(tmp_path, action)


def test_200_concurrent_cancels_of_one_booking(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        await rig.create("b1", capacity=5)
        await rig.create("b2", capacity=5)
        told = Counter(await asyncio.gather(*(outcome(rig.cancel("b1")) for _ in range(200))))
        assert told == {200: 1, "booking_already_cancelled": 199}
        assert await rig.places() == 1

    with_rig(tmp_path, action)


def test_200_concurrent_creates_on_a_slot_of_10(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        told = Counter(await asyncio.gather(*(outcome(rig.create(capacity=10)) for _ in range(200))))
        assert told == {201: 10, "slot_full": 190}
        assert await rig.places() == 10
        assert (await rig.list_ids())[1] == 10

    with_rig(tmp_path, action)


def test_200_concurrent_creates_of_one_id(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        told = Counter(await asyncio.gather(*(outcome(rig.create("b1")) for _ in range(200))))
        assert told == {201: 1, "booking_exists": 199}
        assert await rig.places() == 1

    with_rig(tmp_path, action)


def test_cancels_and_creates_in_disorder_keep_the_count_of_places(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        for number in range(20):
            await rig.create(f"b{number}", capacity=30)
        told = await asyncio.gather(
            *(outcome(rig.cancel(f"b{number % 25}")) for number in range(100)),
            *(outcome(rig.create(capacity=30)) for _ in range(40)),
        )
        held = (await rig.list_ids(statuses=(CONFIRMED,), size=200))[1]
        assert Counter(told)[200] == 20
        assert await rig.places() == held <= 30

    with_rig(tmp_path, action)


def test_a_cancel_that_is_overtaken_looks_again(tmp_path: Path) -> None:
    """What a server database allows: another machine changes the booking between looking and writing."""

    class Overtaken(BookingWriter):
        async def cancel(self, seen: Booking, *, at_ms: int, reason: str | None) -> bool:
            assert await super().cancel(seen, at_ms=at_ms - 1, reason="by another machine")
            return False

    async def action(rig: Rig) -> None:
        await rig.create("b1")

        async def unit(tx: Transaction) -> None:
            await cancel_in(Overtaken(tx, ACME), CancelOrder("contact-1", "b1"), NOW_MS)

        with pytest.raises(ConflictError) as refused:
            await rig.db.write(unit)
        assert refused.value.code == "booking_already_cancelled"

    with_rig(tmp_path, action)


def test_seeded_bookings_are_like_others_and_come_once(tmp_path: Path) -> None:
    async def action(rig: Rig) -> None:
        seeder = BookingSeeder(rig.db, rig.clock, rig.audit, rig.ids)
        slot = Slot("slot-1", "spring", "event-1", START_MS, START_MS + HOUR_MS, 5, 1)
        booking = Booking(
            "b1", CONFIRMED, "contact-1", "spring", "event-1", None, None, "slot-1", START_MS, START_MS + HOUR_MS,
            None, NOW_MS, None, None,
        )  # fmt: skip
        part = SeedPart(ImportTarget(ACME, "acme", Actor("tester", "here"), "seed"), [slot], [booking])
        await seeder.add([part])
        with pytest.raises(ProvisioningError):
            await seeder.add([part])
        assert await rig.list_ids() == (["b1"], 1)
        assert await outcome(rig.cancel("b1")) == 200
        assert await rig.places() == 0

    with_rig(tmp_path, action)
