"""The page of a hand-off link in a real Chromium: previews, a double click, two who race, an answer that gets lost."""

from __future__ import annotations

import re

import httpx
from playwright.sync_api import Browser, Page, Route, expect

from tests.conftest import Served


class Visitor:
    """One browser window, and everything that it asked for or complained about."""

    def __init__(self, browser: Browser) -> None:
        self.page: Page = browser.new_context().new_page()
        self.requests: list[tuple[str, str]] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append((request.method, request.url)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def told(self) -> str:
        """What the page says once it says more than that it waits."""
        expect(self.page.locator("#told")).to_have_text(re.compile(".{15,}|Here it is."))
        return str(self.page.text_content("#told"))


def offer(served: Served) -> str:
    made = served.omnilab.cli("secrets", "add", served.client.client_id, "--label", "by link", "--hand-off")
    return str(made["hand_off_url"])


def count_secrets(served: Served) -> int:
    return len(served.omnilab.cli("secrets", "list", served.client.client_id)["secrets"])


def test_previews_burn_nothing_and_a_double_click_makes_one_secret(served: Served, browser: Browser) -> None:
    url, before = offer(served), count_secrets(served)
    bare, _, claim = url.partition("#")
    for method in ("HEAD", "GET", "GET"):
        assert httpx.request(method, bare, trust_env=False).status_code == 200
    visitor = Visitor(browser)
    visitor.page.goto(url)
    assert count_secrets(served) == before
    visitor.page.dblclick("#open")
    visitor.page.wait_for_selector("#client_secret")
    secret = str(visitor.page.text_content("#client_secret"))
    assert served.server.token_answer(served.client, client_secret=secret).status_code == 200
    assert count_secrets(served) == before + 1
    assert [request for request in visitor.requests if request[0] == "POST"] == [
        ("POST", f"{served.server.url}/hand-off")
    ]
    assert {request[1].removeprefix(served.server.url)[:9] for request in visitor.requests} <= {
        "/hand-off",
        "/favicon.",
    }
    assert not [request for request in visitor.requests if claim in request[1]]
    assert claim not in visitor.page.url
    assert [text for text in visitor.complaints if "favicon" not in text and "404" not in text] == []
    visitor.page.reload()
    assert secret not in visitor.page.content()
    assert claim not in served.server.log
    assert secret not in served.server.log


def test_an_opened_link_says_so_to_its_holder(served: Served, browser: Browser) -> None:
    url = offer(served)
    first, second = Visitor(browser), Visitor(browser)
    for visitor in (first, second):
        visitor.page.goto(url)
    first.page.click("#open")
    first.page.wait_for_selector("#client_secret")
    second.page.click("#open")
    assert "was opened at" in second.told()
    assert second.page.query_selector("#client_secret") is None


def test_of_two_who_open_it_at_once_one_gets_the_secret(served: Served, browser: Browser) -> None:
    url, before = offer(served), count_secrets(served)
    visitors = [Visitor(browser), Visitor(browser)]
    for visitor in visitors:
        visitor.page.goto(url)
    for visitor in visitors:  # both clicks are on their way before either answer is looked at
        visitor.page.dispatch_event("#open", "click")
    told = sorted(visitor.told() for visitor in visitors)
    assert told[0] == "Here it is."
    assert "was opened at" in told[1]
    assert [visitor.page.locator("#client_secret").count() for visitor in visitors].count(1) == 1
    assert count_secrets(served) == before + 1


def test_a_lost_answer_means_a_new_link(served: Served, browser: Browser) -> None:
    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    url = offer(served)
    visitor = Visitor(browser)
    visitor.page.route("**/hand-off", lose)
    visitor.page.goto(url)
    visitor.page.click("#open")
    assert "did not arrive" in visitor.told()
    visitor.page.unroute("**/hand-off")
    visitor.page.goto("about:blank")
    visitor.page.goto(url)
    visitor.page.click("#open")
    assert "was opened at" in visitor.told()
    visitor.page.goto("about:blank")
    visitor.page.goto(offer(served))
    visitor.page.click("#open")
    visitor.page.wait_for_selector("#client_secret")


def test_a_link_without_its_claim_cannot_be_clicked(served: Served, browser: Browser) -> None:
    visitor = Visitor(browser)
    visitor.page.goto(offer(served).partition("#")[0])
    assert "not complete" in visitor.told()
    assert visitor.page.is_disabled("#open")
