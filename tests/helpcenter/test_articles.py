"""The help centre from outside: pages, policy, host, and every code sample of every article executed."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from omnilab.codes import CODES
from omnilab.helpcenter.articles import Article, read_articles
from tests.conftest import Served
from tests.harness import Omnilab, Server

ROOM = Path(__file__).resolve().parents[2] / "src" / "omnilab" / "helpcenter"
AXE = Path(__file__).resolve().parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
SLUGS = [article.slug for article in read_articles()]
ERRORS = ["errors", "errors/token_predates_grant", "errors/slot_full"]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_sample_runs(served: Served, slug: str) -> None:
    blocks = FENCE.findall((ROOM / "articles" / f"{slug}.md").read_text())
    assert [info for info, _ in blocks if info != "sh" and not info.endswith(" output")] == []
    script = "\n".join(text for info, text in blocks if info == "sh").replace("{{ base_url }}", served.client.base_url)
    environ = os.environ | {
        "OMNILAB_CLIENT_ID": served.client.client_id,
        "OMNILAB_CLIENT_SECRET": served.client.client_secret,
        "OMNILAB_AUDIENCE": served.client.audience,
        "NO_PROXY": "*",
    }
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("slug", ["", *SLUGS, *ERRORS])
def test_a_page_is_whole_in_a_browser_and_asks_no_other_host(served: Served, browser: Browser, slug: str) -> None:
    page = browser.new_context().new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served.omnilab.url}/docs/{slug}".rstrip("/"))
    assert complaints == []
    assert [url for url in asked if not url.startswith(served.omnilab.url)] == []
    assert sum(len(served.server.http.get(url).content) for url in set(asked) if "favicon" not in url) < 200_000
    assert page.locator("h1").count() == page.locator("main").count() == 1
    links = page.eval_on_selector_all("a[href^='/']", "all => all.map(one => one.getAttribute('href'))")
    assert {link: served.server.http.get(link).status_code for link in set(links)} == dict.fromkeys(set(links), 200)
    page.context.close()


@pytest.mark.parametrize("article", [each for each in read_articles() if each.slug != "changelog"], ids=SLUGS[:-1])
def test_an_article_says_what_it_needs_and_what_is_never_safe(article: Article) -> None:
    titles = [section.title for section in article.sections]
    assert titles[0] == "Before you begin"
    assert "Security rules" in titles


def test_search_dark_mode_host_and_copy(served: Served, browser: Browser) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page: Page = context.new_page()
    page.goto(f"{served.omnilab.url}/docs/authentication")
    page.fill("#search", "token_predates_grant")
    expect(page.locator("#results a").first).to_have_attribute("href", "/docs/errors/token_predates_grant")
    page.fill("#search", "xylophone")
    expect(page.locator("#results")).to_have_text("0 pages found")
    page.fill("#base-url", "https://acme.api.example")
    page.locator(".copy").nth(1).click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -sS --fail-with-body https://acme.api.example/v1/oauth:token")
    page.click("#theme")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.input_value("#base-url") == "https://acme.api.example"
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    context.close()


def test_a_page_is_cached_and_bound_to_a_strict_policy(served: Served) -> None:
    http = served.server.http
    first = http.get("/docs/booking-api")
    assert "unsafe" not in first.headers["content-security-policy"]
    assert f"<span data-base-url>{served.omnilab.url}</span>" in first.text
    again = http.get("/docs/booking-api", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    foreign = http.get("/docs/booking-api", headers={"Host": "evil.example"})
    assert "evil.example" not in foreign.text
    assert http.get("/docs/no-such-page").status_code == http.get("/docs/assets/site.py").status_code == 404
    codes = {f"errors/{code}" for code in CODES}
    found = {entry["slug"] for entry in json.loads(http.get("/docs/search.json").content)}
    assert found == {*SLUGS, *codes, "errors/", "reference"}


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_page(served: Served, code: str) -> None:
    answer = served.server.http.get(f"/docs/errors/{code}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", "", answer.text))
    for words in (CODES[code].meaning, CODES[code].fix):
        assert words.replace("`", "") in text
    assert ("Yes, once: get a new token" in text) is CODES[code].new_token_helps
    assert ("Yes, after the time in Retry-After" in text) is CODES[code].retry


def test_a_code_that_is_none_has_no_page(served: Served) -> None:
    http = served.server.http
    assert http.get("/docs/errors/%3Cscript%3E").json()["code"] == "not_found"
    assert http.get("/docs/errors/token_missing/").status_code == 404
    posted = http.post("/docs/errors/token_missing")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")
    assert http.head("/docs/errors/token_missing").status_code == 200
    for path in ("/docs/errors", "/docs/errors/"):
        assert http.get(path).text.count('<th scope="row">') == len(CODES)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(noticed: Server, browser: Browser, theme: str) -> None:
    """Every page with everything on it shown, by the rules that axe-core applies unasked."""
    context = browser.new_context(bypass_csp=True)  # for axe alone: the pages' own policy allows no other script
    context.add_init_script(f"localStorage.setItem('omnilab-theme', '{theme}')")
    page = context.new_page()
    found: dict[str, list[str]] = {}
    for slug in ["", *SLUGS, *ERRORS]:
        page.goto(f"{noticed.url}/docs/{slug}".rstrip("/"))
        assert page.evaluate("document.documentElement.dataset.theme") == theme
        if slug:
            page.get_by_role("button", name="No", exact=True).click()
        page.add_script_tag(path=AXE)
        passed, violations = page.evaluate("axe.run().then(all => [all.passes.length, all.violations])")
        assert passed > 10
        found[slug] = [f"{each['id']}: {each['nodes'][0]['html'][:80]}" for each in violations]
    assert {slug: violations for slug, violations in found.items() if violations} == {}
    context.close()


@pytest.fixture(scope="module")
def noticed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, whose operators say something on every page."""
    with (
        Omnilab(tmp_path_factory.mktemp("noticed"))
        .init()
        .serve(
            docs_banner_text="Maintenance on <Sunday>",
            docs_banner_url="https://status.example.com/sunday",
            status_page_url="https://status.example.com",
            security_contact="mailto:security@example.com",
        ) as server
    ):
        yield server


def test_banner_and_status_page_stand_on_every_page(noticed: Server, served: Served) -> None:
    banner = '<a href="https://status.example.com/sunday" rel="noreferrer">Maintenance on &lt;Sunday&gt;</a>'
    assert banner in noticed.http.get("/docs/reference").text
    for slug in ("", *SLUGS, *ERRORS):
        page = noticed.http.get(f"/docs/{slug}".rstrip("/")).text
        assert banner in page
        assert '<a href="https://status.example.com" rel="noreferrer">Status of the service</a>' in page
    plain = served.server.http.get("/docs").text
    assert "banner" not in plain
    assert "Status of the service" not in plain


def test_security_txt_names_the_contact_and_ends_within_a_year(noticed: Server, served: Served) -> None:
    answer = noticed.http.get("/.well-known/security.txt")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:security@example.com"
    assert fields["Canonical"].endswith("/.well-known/security.txt")
    left = datetime.fromisoformat(fields["Expires"]) - datetime.now(UTC)
    assert timedelta(days=1) < left < timedelta(days=365)
    assert served.server.http.get("/.well-known/security.txt").status_code == 404


def test_a_reader_says_no_and_why_and_the_operator_reads_it(served: Served, browser: Browser) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{served.omnilab.url}/docs/rate-limits")
    secret = served.client.client_secret
    page.get_by_role("button", name="No", exact=True).click()
    expect(page.locator("#feedback-comment")).to_be_focused()
    page.keyboard.type(f"What is a <window>? I use {secret}")
    page.get_by_role("button", name="Send").click()
    said = page.locator("#feedback [role=status]")
    expect(said).to_contain_text("looks like a secret or a token")
    page.fill("#feedback-comment", "What is a <window>?")
    page.get_by_role("button", name="Send").click()
    expect(said).to_have_text("Thank you.")
    page.context.close()
    (kept,) = served.omnilab.cli("feedback", "list")["feedback"]
    assert (kept["page"], kept["helpful"]) == ("rate-limits", False)
    assert kept["comment"] == "What is a <window>?"
    assert "/docs/rate-limits" in served.omnilab.run("feedback", "list").stdout
