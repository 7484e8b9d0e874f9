"""Hand-off links, seen from outside: what a link shows, what ends it, and what is left of it in the database."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from omnilab.audit.model.trace import expand_checks, fix_of
from omnilab.tenancy.model.orders import NewClient, NewTenant, Rotation
from tests.tokens.running import ACTOR, ISSUER, Running, play

HOUR = 3600


def files_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("omnilab.db*"))


async def offered(it: Running, **order: Any) -> tuple[dict[str, Any], str, str]:
    """A client made with `--hand-off`: what was printed, the link's id and its claim."""
    tenancy = it.platform.tenancy
    await tenancy.tenants.create(NewTenant(tenant="acme", name="Acme"), actor=ACTOR)
    new = NewClient(tenant="acme", name="backend", allow=("bookings:read",), **order)
    made = dict(await tenancy.clients.create_for_hand_off(new, actor=ACTOR))
    await it.settle()
    path, _, claim = str(made["hand_off_url"]).removeprefix(ISSUER).partition("#")
    return made, path.removeprefix("/hand-off/"), claim


async def opening(it: Running, link: str, claim: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await it.http.post("/hand-off", json={"hand_off_id": link, "claim": claim}, headers=named)


def test_a_link_makes_one_working_secret_and_ends(folder: Path) -> None:
    async def story(it: Running) -> None:
        made, link, claim = await offered(it, label="first")
        assert "client_secret" not in made
        assert re.fullmatch(r"[0-9A-Za-z]{43}", claim)
        assert await it.platform.tenancy.secrets.list_all(made["client_id"]) == []
        answer = await opening(it, link, claim, origin=ISSUER, sec_fetch_site="same-origin")
        assert answer.status_code == 200, answer.text
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert not [name for name in answer.headers if name.startswith("access-control")]
        opened = answer.json()
        await it.settle()
        assert (await it.ask(made | opened)).status_code == 200
        (secret,) = await it.platform.tenancy.secrets.list_all(made["client_id"])
        assert (secret["secret_id"], secret["label"]) == (opened["secret_id"], "first")
        record = await it.record_of(answer)
        assert (record.endpoint, record.secret_id, record.details["address"]) == (
            "hand-offs:open",
            opened["secret_id"],
            "192.0.2.7",
        )
        # A lost answer cannot be had again: the holder of the claim is told so, and a new link makes another secret.
        again = await opening(it, link, claim)
        assert (again.status_code, again.json()["code"]) == (404, "not_found")
        assert "opened at" in again.json()["detail"]
        told = await it.record_of(again)
        assert (told.reason, expand_checks(told)[-1].name) == ("hand_off_opened", "link")
        assert "new link" in str(fix_of(told))
        offer = await it.platform.tenancy.hand_offs.offer(made["client_id"], Rotation(), supersede=True, actor=ACTOR)
        path, _, claim = str(offer["hand_off_url"]).removeprefix(ISSUER).partition("#")
        second = (await opening(it, path.removeprefix("/hand-off/"), claim)).json()
        assert second["client_secret"] != opened["client_secret"]

    play(folder, story)


def test_of_many_who_open_a_link_at_once_one_gets_the_secret(folder: Path) -> None:
    async def story(it: Running) -> None:
        made, link, claim = await offered(it)
        answers = await asyncio.gather(*(opening(it, link, claim) for _ in range(12)))
        assert sorted(answer.status_code for answer in answers) == [200] + 11 * [404]
        assert len(await it.platform.tenancy.secrets.list_all(made["client_id"])) == 1

    play(folder, story)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_previews_change_nothing_and_learn_nothing(folder: Path, method: str) -> None:
    async def story(it: Running) -> None:
        made, link, claim = await offered(it)
        pages = [await it.http.request(method, f"/hand-off/{each}") for each in (link, link, "hof_none")]
        assert {page.status_code for page in pages} == {200}
        assert len({page.content for page in pages}) == 1
        head = pages[0].headers
        assert head["x-robots-tag"].startswith("noindex")
        assert (head["referrer-policy"], head["cache-control"]) == ("no-referrer", "no-store")
        policy = head["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        assert await it.platform.tenancy.secrets.list_all(made["client_id"]) == []
        assert (await opening(it, link, claim)).status_code == 200

    play(folder, story)


def test_the_page_asks_no_other_host(folder: Path) -> None:
    async def story(it: Running) -> None:
        page = (await it.http.get("/hand-off/hof_x")).text
        assert re.findall(r"https?://|src=|href=|url\(", page) == []
        assert len(re.findall("<script>", page)) == 1

    play(folder, story)


def test_a_link_ends_after_its_time_and_makes_nothing(folder: Path) -> None:
    async def story(it: Running) -> None:
        made, link, claim = await offered(it)
        it.clock.forward(72 * HOUR - 1)
        other = await it.platform.tenancy.hand_offs.offer(made["client_id"], Rotation(), actor=ACTOR)
        it.clock.forward(1)
        answer = await opening(it, link, claim)
        assert answer.status_code == 404
        assert "ended at" in answer.json()["detail"]
        assert await it.platform.tenancy.secrets.list_all(made["client_id"]) == []
        path, _, claim = str(other["hand_off_url"]).removeprefix(ISSUER).partition("#")
        assert (await opening(it, path.removeprefix("/hand-off/"), claim)).status_code == 200

    play(folder, story)


def test_without_the_claim_a_link_is_unknown_whatever_became_of_it(folder: Path) -> None:
    async def story(it: Running) -> None:
        _, link, claim = await offered(it)
        texts = {
            (await opening(it, *pair)).json()["detail"]
            for pair in ((link, "x" * 43), ("hof_none", claim), (link, "\u00e9"))
        }
        await opening(it, link, claim)
        texts.add((await opening(it, link, "x" * 43)).json()["detail"])
        assert len(texts) == 1

    play(folder, story)


def test_other_sites_forms_and_stray_fields_are_refused_and_end_nothing(folder: Path) -> None:
    async def story(it: Running) -> None:
        _, link, claim = await offered(it)
        assert (await opening(it, link, claim, sec_fetch_site="cross-site")).status_code == 400
        assert (await opening(it, link, claim, sec_fetch_site="same-site")).status_code == 400
        form = await it.http.post("/hand-off", data={"hand_off_id": link, "claim": claim})
        assert form.status_code == 415
        stray = await it.http.post("/hand-off", json={"hand_off_id": link, "claim": claim, "more": 1})
        assert stray.status_code == 400
        assert (await it.http.get("/hand-off")).status_code == 405
        assert (await it.http.post(f"/hand-off/{link}", json={"claim": claim})).status_code == 405
        assert (await opening(it, link, claim)).status_code == 200

    play(folder, story)


def test_neither_claim_nor_secret_is_anywhere_in_the_database(folder: Path) -> None:
    async def story(it: Running) -> None:
        made, link, claim = await offered(it)
        await it.platform.tenancy.hand_offs.offer(made["client_id"], Rotation(), actor=ACTOR)
        opened = (await opening(it, link, claim)).json()
        await opening(it, link, claim)
        await it.platform.audit._buffer.flush()
        content = files_in(folder)
        for text in (claim, opened["client_secret"], opened["client_secret"][9:]):
            raw = text.encode()
            for form in (raw, raw.hex().encode(), base64.b64encode(raw)[:-4]):
                assert form not in content

    play(folder, story)
