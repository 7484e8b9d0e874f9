"""Two tenants with random data: no route, header, id or host lets one see or change what is the other's.

Every call of the service is attacked with requests that name the victim's ids wherever it takes one. Three things are
asked of each: the answer is the one that a stranger's made-up ids get, nothing of the victim's is in it, and no row of
the victim has changed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from omnilab.app import create_app, operations_of
from omnilab.web.security_txt import PATH as SECURITY_TXT
from tests.harness import Credentials, Omnilab, Server, bearer
from tests.system.attacks import Draft, drafts_of, fill, undescribed
from tests.system.rivals import OF_EACH, Rival, settle_in, slot_of, state_of, stranger_like, without_names
from tests.tokens.running import Running, running

# Every call there is. A new one has to be put here, and then is attacked like the others.
CALLS = (
    "cancelBooking", "cancelContactBooking", "createContactBooking", "fetchContactBookings",
    "healthz", "introspect", "jwks", "metadata", "openHandOff", "openapi", "readyz", "resourceMetadata", "revoke",
    "sendFeedback", "token", "whoami",
)  # fmt: skip
HELP = (
    "/docs", "/docs/", "/docs/search.json", "/docs/assets/viewer.js", "/docs/assets/{name}", "/docs/errors/",
    "/docs/errors/{code}", "/docs/{slug}",
)  # fmt: skip
PAGES = (*HELP, "/hand-off/{hand_off_id}", SECURITY_TXT)
CREATE, CANCEL = "/v1/interactions:createContactBooking", "/v1/interactions:cancelContactBooking"
FETCH = "/v1/interactions:fetchContactBookings"
NO_QUOTAS = dict.fromkeys(
    f"{whose}_{what}_quota" for whose in ("client", "tenant") for what in ("token", "api")
) | dict.fromkeys(f"failed_authentications_per_{what}_per_minute" for what in ("client", "address"))

# The platform remembers what earlier examples did, so a failure is neither shrunk nor played again.
EXAMPLES = settings(
    max_examples=25,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Neighbours:
    """The victim, the spy and the spy's twin on one running platform."""

    def __init__(self, it: Running, loop: asyncio.AbstractEventLoop) -> None:
        self.it = it
        self._loop = loop
        self.operations = {each.operation_id: each for each in operations_of(it.platform)}
        self.victim = self._settled("victim-hotel", "victim-hidden")
        self.spy = self._settled("first-hotel", "first-curious")
        self.twin = self._settled("other-hotel", "other-curious")
        self.stranger = stranger_like(self.victim)
        self.known_to_spy: set[str] = set()
        self.own_requests: set[str] = set()

    def run(self, coroutine: Any) -> Any:
        return self._loop.run_until_complete(coroutine)

    def _settled(self, tenant: str, mark: str) -> Rival:
        rival: Rival = self.run(settle_in(self.it, Rival(tenant, mark)))
        return rival

    def ask(self, **request: Any) -> httpx.Response:
        answer: httpx.Response = self.run(self.it.http.request(**request))
        return answer

    def live(self, call: str, number: int, extra: dict[str, Any], *, key: int | None) -> None:
        """A rightful call of the victim."""
        victim = self.victim
        headers = bearer(victim.token) | ({} if key is None else {"Idempotency-Key": victim.chosen(KEY, key)})
        body = slot_of(victim, number, **extra)
        if call == CANCEL:
            body = {name: body[name] for name in ("external_id", "booking_id")}
        answer = self.ask(method="POST", url=call, headers=headers, json=body)
        assert answer.status_code in {200, 201, 404, 409, 422}, answer.text
        self.own_requests.add(answer.headers["x-request-id"])

    def attack(self, draft: Draft) -> None:
        before = state_of(self.it, self.victim)
        sent = fill(draft, self.spy, self.victim)
        told = self.ask(**sent.parameters())
        guessed = self.ask(**fill(draft, self.twin, self.stranger).parameters())
        assert self._seen(told, self.spy) == self._seen(guessed, self.twin)
        assert state_of(self.it, self.victim) == before
        self._learn(sent.said)
        shown = told.text + str(told.headers)
        assert [value for value in self._secrets() if value in shown] == []

    def _seen(self, answer: httpx.Response, sender: Rival) -> str:
        """All of an answer, the names of those involved replaced by their roles."""
        headers = sorted((name, value) for name, value in answer.headers.items() if name != "content-length")
        text = f"{answer.status_code} {headers} {answer.text}"
        names = without_names(text, other=self.victim, own=sender)
        return without_names(names, other=self.stranger)

    def _secrets(self) -> list[str]:
        """Values of the victim that the spy never put into a request itself."""
        words = (f"title of {self.victim.mark}", f"place of {self.victim.mark}", f"reader of {self.victim.mark}")
        return [value for value in (*self.victim.names().values(), *words) if value not in self.known_to_spy]

    def _learn(self, said: str) -> None:
        # A tenant's audience is its host with `https://` before it: who names the one knows the other.
        said = said.replace(self.victim.host, f"https://{self.victim.host}")
        self.known_to_spy |= {value for value in self._secrets() if value in said}


KEY = "idempotency_key"
_lives = st.lists(
    st.tuples(
        st.sampled_from([CREATE, CREATE, CANCEL]),
        st.integers(0, OF_EACH - 1),
        st.fixed_dictionaries({}, optional={
            "event_title": st.text(st.characters(exclude_categories=("C",)), max_size=20),
            "ticket_type": st.sampled_from(["standard", "vip"]),
            "slot_capacity": st.sampled_from([None, 1, 2]),
        }),
        st.none() | st.integers(0, OF_EACH - 1),
    ),
    max_size=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    """One platform for all attacks: what the spy has done before must not help it later."""
    loop = asyncio.new_event_loop()
    context = running(tmp_path_factory.mktemp("town"), security_contact="mailto:a@example.com", **NO_QUOTAS)
    it = loop.run_until_complete(context.__aenter__())
    town = Neighbours(it, loop)
    for number in range(OF_EACH):
        town.live(CREATE, number, {"ticket_type": "vip"}, key=number)
    yield town
    loop.run_until_complete(context.__aexit__(None, None, None))
    loop.close()


@pytest.mark.parametrize("name", CALLS)
@EXAMPLES
@given(data=st.data())
def test_a_call_tells_nothing_of_another_tenant_and_changes_nothing(town: Neighbours, name: str, data: Any) -> None:
    for call, number, extra, key in data.draw(_lives):
        town.live(call, number, extra, key=key)
    town.attack(data.draw(drafts_of(town.operations[name])))


@EXAMPLES
@given(data=st.data(), page=st.sampled_from([*PAGES, "/", "/v1/nothing", "/metrics", "/docs", "/v1/tenants/{code}"]))
def test_pages_and_paths_of_no_call_tell_nothing_either(town: Neighbours, data: Any, page: str) -> None:
    draft = data.draw(drafts_of(town.operations["whoami"]))
    draft = Draft(method=draft.method, path=(page.replace("{code}", "tenant_mismatch"),), headers=draft.headers)
    town.attack(draft)


def test_every_route_there_is_stands_in_the_lists_above(town: Neighbours) -> None:
    assert sorted(town.operations) == sorted(CALLS)
    app, _ = create_app(town.it.platform)
    assert {path.decode() for path in app._routes._by_raw_path} == {each.path for each in town.operations.values()}
    assert sorted(route.path for route in app._pages.routes) == sorted(PAGES)
    document = town.ask(method="GET", url="/openapi.json").json()
    shown = {each.path for each in town.operations.values() if not each.hidden}
    assert document["paths"].keys() == shown - {"/openapi.json"}


def test_every_field_of_every_call_is_attacked(town: Neighbours) -> None:
    assert {name: undescribed(operation) for name, operation in town.operations.items() if undescribed(operation)} == {}


def test_nothing_was_recorded_in_the_victims_name_but_its_own_requests(town: Neighbours) -> None:
    """Runs last: what was recorded meanwhile is written by now."""
    town.run(asyncio.sleep(1.1))
    rows = state_of(town.it, town.victim)["audit_records"]
    recorded = {row[0] for row in rows if '"endpoint":"bookings:' in row[5]}
    assert recorded == town.own_requests


@pytest.mark.parametrize("contact", ["the victim's contact", "its own contact"])
def test_anothers_booking_is_byte_for_byte_the_same_404_as_none(town: Neighbours, contact: str) -> None:
    external_id = town.victim.chosen("external_id", 0) if contact == "the victim's contact" else "mine"
    answers = []
    for booking_id in (town.victim.chosen("booking_id", 0), "boo-0-never-existed"):
        body = {"external_id": external_id, "booking_id": booking_id}
        answer = town.ask(method="POST", url=CANCEL, headers=bearer(town.twin.token), json=body)
        assert answer.status_code == 404
        answers.append((answer.content.replace(_id(answer), b"id"), _headers(answer)))
    assert answers[0] == answers[1]


def test_only_the_host_of_its_own_tenant_takes_a_token(town: Neighbours) -> None:
    hosts = (town.victim.host, town.stranger.host, town.spy.host)
    answers = [
        town.ask(method="GET", url="/v1/oauth:whoami", headers=bearer(town.spy.token) | {"Host": host})
        for host in hosts
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert [answer.json().get("code") for answer in answers[:2]] == ["tenant_mismatch"] * 2


def _id(answer: httpx.Response) -> bytes:
    return answer.headers["x-request-id"].encode()


def _headers(answer: httpx.Response) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in answer.headers.raw if name.lower() not in (b"x-request-id", b"date")]


@pytest.fixture(scope="module")
def street(
    provisioned: tuple[Omnilab, Credentials], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Credentials, Credentials]]:
    """A real server with tenant hosts: the victim `acme` with three bookings of contact-1, and a spy."""
    template, victim = provisioned
    omnilab = template.copied_to(tmp_path_factory.mktemp("street"))
    omnilab.create_tenant("curious", "bookings:create")
    spy = omnilab.create_client("curious")
    with omnilab.serve(tenant_domain="example.com") as server:
        yield server, victim, spy


def test_a_real_server_keeps_them_apart_too(street: tuple[Server, Credentials, Credentials]) -> None:
    server, victim, spy = street
    token, rightful = server.token(spy), server.token(victim)
    before = server.list_bookings(rightful, "contact-1").json()
    hosts = ({}, {"X-Forwarded-Host": "acme.api.example.com"}, {"X-Tenant": "acme"}, {"Idempotency-Key": "key-1"})
    for headers, number in itertools.product(hosts, (1, 2)):
        listed = server.http.get(FETCH, params={"external_id": "contact-1"}, headers=bearer(token) | headers)
        assert (listed.status_code, listed.json()["total_count"]) == (200, 0)
        answers = [
            server.cancel_booking(token, "contact-1", booking_id, **headers)
            for booking_id in (f"bkg_{number:08d}", "bkg_never_ex")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        bare = [(answer.content.replace(_id(answer), b"id"), _headers(answer)) for answer in answers]
        assert bare[0] == bare[1]
    assert server.list_bookings(rightful, "contact-1").json() == before


@pytest.mark.parametrize("host", ["acme.api.example.com", "ACME.api.example.com:8080", "nobody.api.example.com"])
def test_a_real_server_takes_no_token_on_anothers_host(
    street: tuple[Server, Credentials, Credentials], host: str
) -> None:
    server, victim, spy = street
    token = server.token(spy)
    for path in ("/v1/oauth:whoami", FETCH + "?external_id=contact-1"):
        answer = server.http.get(path, headers=bearer(token) | {"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (401, "tenant_mismatch")
    body = {"client_secret": spy.client_secret, "audience": victim.audience, "grant_type": "client_credentials"}
    for client_id in (victim.client_id, victim.client_id[:-2] + "zz", "legacy"):
        answer = server.http.post("/v1/oauth:token", json=body | {"client_id": client_id}, headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert "acme" not in answer.text
