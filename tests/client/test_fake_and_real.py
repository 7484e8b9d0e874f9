"""What people see of the fake and of the platform is the same: one list of expectations, run on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

import httpx
import pytest

from omnilab.client import (
    BookingAlreadyCancelledError,
    BookingNotFoundError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    OmniLab,
    TokenRefusedError,
)
from omnilab.client.testing import FakeOmniLab
from tests.conftest import Served
from tests.harness import Omnilab, booking_row

CONTACT = "contact-9"
COUNT = 12


@dataclass
class Platform:
    environ: dict[str, str] = field(repr=False)

    def client(self, **environ: str) -> OmniLab:
        return OmniLab(environ=self.environ | environ, total_seconds=10)


def environ_of(served: Served) -> dict[str, str]:
    client = served.client
    return {
        "OMNILAB_CLIENT_ID": client.client_id,
        "OMNILAB_CLIENT_SECRET": client.client_secret,
        "OMNILAB_AUDIENCE": client.audience,
        "OMNILAB_BASE_URL": client.base_url,
    }


def rows() -> list[dict[str, object]]:
    """Bookings of contact-9: the second half waitlisted, each in a slot of its own, an hour apart."""
    made = []
    for number in range(COUNT):
        starts_at = datetime(2030, 5, 1, tzinfo=UTC) + timedelta(hours=number)
        made.append(
            booking_row(number + 900)
            | {
                "external_id": CONTACT,
                "slot_start_date": starts_at.isoformat().replace("+00:00", "Z"),
                "slot_end_date": (starts_at + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
                "interaction_id": f"int_{number % 2}",
                "booking_status": "WAITLISTED" if number >= COUNT // 2 else "CONFIRMED",
            }
        )
    return made


@pytest.fixture(scope="module", params=["fake", "real"])
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    if request.param == "fake":
        fake = FakeOmniLab()
        for row in rows():
            fields = {name: value for name, value in row.items() if name not in ("external_id", "slot_capacity")}
            fake.add_booking(CONTACT, **fields)
        with fake.serve() as environ:
            yield Platform(environ)
        return
    served: Served = request.getfixturevalue("served")
    omnilab: Omnilab = served.omnilab
    omnilab.import_bookings("acme", rows())
    yield Platform(environ_of(served))


def ids(platform: Platform, **filters: object) -> list[str]:
    with platform.client() as client:
        return [booking.booking_id for booking in client.bookings.list(CONTACT, **filters)]  # type: ignore[arg-type]


ALL = [f"bkg_{number + 900:08d}" for number in range(COUNT)]


def test_a_list_goes_through_all_pages_in_order(platform: Platform) -> None:
    assert ids(platform, page_size=5) == ids(platform) == ALL
    with platform.client() as client:
        pages = list(client.bookings.list(CONTACT, page_size=5).pages())
    assert [len(page) for page in pages] == [5, 5, 2]
    assert {page.total_count for page in pages} == {COUNT}
    assert pages[0].bookings[0].slot_start_date == datetime(2030, 5, 1, tzinfo=UTC)


def test_an_unknown_contact_has_no_bookings(platform: Platform) -> None:
    with platform.client() as client:
        assert list(client.bookings.list("nobody & co + más")) == []


def test_filters_narrow_the_list(platform: Platform) -> None:
    fifth = datetime(2030, 5, 1, 5, tzinfo=UTC)
    assert ids(platform, booking_id=ALL[3]) == [ALL[3]]
    assert ids(platform, interaction_id="int_1") == ALL[1::2]
    assert ids(platform, booking_status="CHECKED_IN") == []
    assert ids(platform, booking_status=["CONFIRMED", "WAITLISTED"]) == ALL
    assert ids(platform, starts_after=fifth) == ALL[6:]
    assert ids(platform, starts_before=fifth.astimezone(timezone(timedelta(hours=2)))) == ALL[:5]
    assert ids(platform, starts_after="2030-05-01T05:00:00Z", starts_before="2030-05-01T08:00:00+00:00") == ALL[6:8]


def test_who_am_i(platform: Platform) -> None:
    with platform.client() as client:
        me = client.whoami()
    assert (me.client_id, me.tenant, me.environment) == (platform.environ["OMNILAB_CLIENT_ID"], "acme", "development")
    assert {"bookings:read", "bookings:cancel"} <= set(me.allowed)
    assert me.secret_expires_at is None


def test_what_is_listed_can_be_cancelled_while_it_is_listed(platform: Platform) -> None:
    cancelled = []
    with platform.client() as client:
        for booking in client.bookings.list(CONTACT, booking_status="CONFIRMED", page_size=2):
            done = client.bookings.cancel(CONTACT, booking.booking_id, reason="changed their mind")
            assert (done.booking_status, done.booking_id) == ("CANCELLED", booking.booking_id)
            assert done.cancelled_at is not None
            cancelled.append(booking.booking_id)
        assert cancelled == ALL[: COUNT // 2]
        with pytest.raises(BookingAlreadyCancelledError) as caught:
            client.bookings.cancel(CONTACT, ALL[0])
    assert (caught.value.code, caught.value.status) == ("booking_already_cancelled", 409)
    assert caught.value.request_id
    assert caught.value.idempotency_key


def test_a_repeated_cancel_brings_the_first_answer(platform: Platform) -> None:
    booking_id = ALL[-1]
    with platform.client() as client:
        first = client.bookings.cancel(CONTACT, booking_id, idempotency_key="mine-1")
        assert client.bookings.cancel(CONTACT, booking_id, idempotency_key="mine-1") == first
        with pytest.raises(IdempotencyKeyReusedError):
            client.bookings.cancel(CONTACT, ALL[-2], idempotency_key="mine-1")
        with pytest.raises(BookingAlreadyCancelledError):
            client.bookings.cancel(CONTACT, booking_id, idempotency_key=False)


def test_what_is_not_theirs_is_not_found(platform: Platform) -> None:
    with platform.client() as client:
        for contact, booking_id in (("contact-8", ALL[-3]), (CONTACT, "bkg_none")):
            with pytest.raises(BookingNotFoundError):
                client.bookings.cancel(contact, booking_id)


def test_bad_parameters_are_named(platform: Platform) -> None:
    with platform.client() as client:
        with pytest.raises(InvalidRequestError) as caught:
            list(client.bookings.list(CONTACT, page_size=201))
        assert caught.value.code == "parameter_invalid"
        assert [problem.field for problem in caught.value.errors] == ["page_size"]
        with pytest.raises(InvalidRequestError):
            client.bookings.cancel(CONTACT, "")


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("CLIENT_SECRET", "a wrong one", "client_authentication_failed"),
        ("CLIENT_ID", "cli_nobody", "client_authentication_failed"),
        ("AUDIENCE", "urn:omnilab:development:elsewhere", "audience_unknown"),
    ],
)
def test_refused_tokens_name_their_cause(platform: Platform, name: str, value: str, code: str) -> None:
    with platform.client(**{f"OMNILAB_{name}": value}) as client, pytest.raises(TokenRefusedError) as caught:
        client.whoami()
    assert caught.value.code == code
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/v1/nothing", {}, 404, "not_found"),
        ("POST", "/v1/oauth:whoami", {}, 405, "method_not_allowed"),
        ("GET", "/v1/oauth:whoami", {}, 401, "token_missing"),
        ("GET", "/v1/oauth:whoami", {"Authorization": "Bearer nonsense"}, 401, "token_malformed"),
    ],
)
def test_strangers_get_the_same_answers(
    platform: Platform, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = httpx.request(method, platform.environ["OMNILAB_BASE_URL"] + path, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
