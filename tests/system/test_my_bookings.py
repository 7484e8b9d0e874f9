"""The "my bookings" example as its visitors see it: a real browser, a real uvicorn, a real platform behind it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.conftest import Served
from tests.harness import free_port

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "my_bookings"


@dataclass
class Shop:
    url: str
    log: Path


@pytest.fixture(scope="module")
def shop(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The example, started as its docstring says."""
    port = free_port()
    log = tmp_path_factory.mktemp("shop") / "log"
    credentials = {
        "OMNILAB_CLIENT_ID": served.client.client_id,
        "OMNILAB_CLIENT_SECRET": served.client.client_secret,
        "OMNILAB_AUDIENCE": served.client.audience,
        "OMNILAB_BASE_URL": served.omnilab.url,
        "NO_PROXY": "*",
    }
    command = [
        sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLE), "app:create_app", "--factory", "--port", str(port),
    ]  # fmt: skip
    with log.open("w") as out:
        process = subprocess.Popen(command, env=os.environ | credentials, stdout=out, stderr=subprocess.STDOUT)
    shop = Shop(f"http://127.0.0.1:{port}", log)
    try:
        deadline = time.monotonic() + 30
        while "startup complete" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield shop
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def test_a_visitor_sees_and_cancels_what_is_theirs(served: Served, shop: Shop, visitor: BrowserContext) -> None:
    seen: list[str] = []
    asked: list[str] = []
    page = visitor.new_page()
    page.on("response", lambda answer: seen.append(answer.text() if answer.status == 200 else ""))
    page.on("request", lambda request: asked.append(request.url + str(request.all_headers())))
    page.goto(shop.url)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Who are you?").fill("contact-1")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="My bookings")).to_be_visible()
    token = served.server.token(served.client)
    listed = served.server.list_bookings(token, "contact-1").json()["bookings"]
    live = [each for each in listed if each["booking_status"] == "CONFIRMED"]
    assert len(live) >= 2
    assert page.get_by_role("listitem").count() == len(listed)
    buttons = page.get_by_role("button", name="Cancel")
    expect(buttons).to_have_count(len(live))
    buttons.first.click()
    expect(buttons).to_have_count(len(live) - 1)
    expect(page.get_by_text("cancelled", exact=True)).to_have_count(len(listed) - len(live) + 1)
    now = served.server.list_bookings(token, "contact-1").json()["bookings"]
    changed = [after for before, after in zip(listed, now, strict=True) if before != after]
    assert [each["booking_status"] for each in changed] == ["CANCELLED"]
    # Nothing that opens OmniLab has reached the browser, and the browser has asked nobody else.
    everything = "\n".join([*seen, *asked, str(visitor.cookies())])
    for secret in (served.client.client_secret, served.client.client_id, "eyJ", served.omnilab.url):
        assert secret not in everything
    assert all(each.startswith(shop.url) for each in asked)
    assert served.client.client_secret not in shop.log.read_text()


def test_nobody_reaches_what_is_somebody_elses(served: Served, shop: Shop, visitor: BrowserContext) -> None:
    with httpx.Client(base_url=shop.url, trust_env=False) as http:
        assert http.get("/").headers["location"] == "/log-in"
        assert http.post("/bookings/booking-2/cancel").headers["location"] == "/log-in"
        http.post("/log-in", data={"contact": "contact-2"})
        assert "You have no bookings" in http.get("/").text
        before = served.server.list_bookings(served.server.token(served.client), "contact-1").json()
        for each in before["bookings"]:
            assert http.post(f"/bookings/{each['booking_id']}/cancel").status_code == 404
            foreign = http.post(f"/bookings/{each['booking_id']}/cancel", headers={"Sec-Fetch-Site": "cross-site"})
            assert foreign.status_code == 403
        assert served.server.list_bookings(served.server.token(served.client), "contact-1").json() == before


def test_two_visitors_with_a_second_click(served: Served, shop: Shop) -> None:
    with httpx.Client(base_url=shop.url, trust_env=False) as http:
        http.post("/log-in", data={"contact": "contact-1"})
        token = served.server.token(served.client)
        booking = served.server.list_bookings(token, "contact-1").json()["bookings"][-1]["booking_id"]
        answers = [http.post(f"/bookings/{booking}/cancel") for _ in range(2)]
        assert [(each.status_code, each.headers["location"]) for each in answers] == [(303, "/"), (303, "/")]
        assert http.get("/").text.count("cancelled") >= 1
