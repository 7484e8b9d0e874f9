"""The API reference in a browser: what it shows, what may be tried from it, and what never."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from omnilab.helpcenter.viewer import SHA256
from tests.conftest import Served

ROOM = Path(__file__).resolve().parents[2] / "src" / "omnilab" / "helpcenter" / "viewer"
AXE = Path(__file__).resolve().parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
LIST_CALL = "#link-get-\\/v1\\/interactions-fetchContactBookings"
TOKEN_CALL = "#link-post-\\/v1\\/oauth-token"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_the_reference_shows_every_call_and_asks_no_other_host(served: Served, page: Page) -> None:
    complaints: list[str] = []
    asked: list[Request] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfinished", lambda request: asked.append(request))  # noqa: PLW0108 - Playwright marks what it is given
    page.goto(f"{served.omnilab.url}/docs/reference")
    document = served.server.http.get("/openapi.json").json()
    for path in document["paths"]:
        expect(page.get_by_text(path, exact=True).first).to_be_visible()
    page.locator(TOKEN_CALL).click()
    expect(page.get_by_role("heading", name="Get an access token")).to_be_visible()
    assert page.get_by_role("button", name="EXECUTE").count() == 0
    assert complaints == []
    assert [each.url for each in asked if not each.url.startswith(served.omnilab.url)] == []
    # The document itself is data of the API, as long as there are calls; the rest is the page.
    weight = sum(each.sizes()["responseBodySize"] for each in asked if not each.url.endswith("/openapi.json"))
    assert 150_000 < weight < 200_000


def test_a_pasted_token_opens_a_call_and_is_kept_nowhere(served: Served, page: Page) -> None:
    token = served.server.token(served.client)
    page.goto(f"{served.omnilab.url}/docs/try-it")
    page.locator("#link-auth").click()
    page.get_by_placeholder("JWT").fill(token)
    page.get_by_role("button", name="SET").click()
    page.locator(LIST_CALL).click()
    page.get_by_role("textbox", name="external_id").first.fill("nobody-of-that-name")
    with page.expect_response(lambda answer: ":fetchContactBookings" in answer.url) as caught:
        page.get_by_role("button", name="EXECUTE").click()
    assert caught.value.status == 200
    assert caught.value.json()["bookings"] == []
    expect(page.locator("openapi-explorer")).to_contain_text("total")
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert kept.startswith("[{")
    assert token not in kept
    page.reload()
    page.locator("#link-auth").click()
    expect(page.get_by_text("No API key applied")).to_be_visible()


def test_no_call_that_takes_a_secret_may_be_tried(served: Served, page: Page) -> None:
    page.goto(f"{served.omnilab.url}/docs/try-it")
    expect(page.locator(LIST_CALL)).to_be_visible()
    for call in ("token", "revoke", "introspect"):
        assert page.locator(f"#link-post-\\/v1\\/oauth-{call}").count() == 0
    page.locator("#link-auth").click()
    expect(page.get_by_placeholder("JWT")).to_be_visible()
    for words in ("client-id", "client_secret", "client-secret", "OAuth", "password"):
        assert page.get_by_placeholder(words).count() == 0
    assert page.get_by_text("OAuth2").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("slug", "calls"), [("reference", [TOKEN_CALL, LIST_CALL]), ("try-it", ["#link-auth", LIST_CALL])]
)
def test_axe_finds_nothing(served: Served, browser: Browser, theme: str, slug: str, calls: list[str]) -> None:
    context = browser.new_context(bypass_csp=True)  # for axe alone: the page's own policy allows no other script
    context.add_init_script(f"localStorage.setItem('omnilab-theme', '{theme}')")
    page = context.new_page()
    page.goto(f"{served.omnilab.url}/docs/{slug}")
    page.add_script_tag(path=AXE)
    for call in calls:
        page.locator(call).click()
        expect(page.locator(f"{call}.active")).to_be_visible()
        seen, violations = page.evaluate("axe.run().then(all => [all.passes.length, all.violations])")
        assert seen > 10
        assert [f"{each['id']}: {each['nodes'][0]['html'][:80]}" for each in violations] == []
    context.close()


def test_the_viewer_comes_in_the_form_that_the_caller_takes(served: Served) -> None:
    http = served.server.http
    sums = set()
    for coding in ("br", "gzip", "identity"):
        answer = http.get("/docs/assets/viewer.js", headers={"Accept-Encoding": coding})
        assert answer.headers.get("content-encoding", "identity") == coding
        if coding != "br":  # httpx opens gzip by itself
            sums.add(hashlib.sha256(answer.content).hexdigest())
        tag = {"Accept-Encoding": coding, "If-None-Match": answer.headers["etag"]}
        assert http.get("/docs/assets/viewer.js", headers=tag).status_code == 304
    stored = hashlib.sha256(gzip.decompress((ROOM / "openapi-explorer.js.gz").read_bytes())).hexdigest()
    assert sums == {SHA256, stored}
