"""`audit show` names the true cause and the fix of every kind of refusal; `audit explain` groups a tenant's.

Many refusals on one platform in this process, for a command costs a second; a few commands on the same database show
that they say the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from omnilab.audit.model import present
from omnilab.checks import CHECKS
from omnilab.cli.audit_text import decision_text
from omnilab.codes import CODES
from tests.harness import Omnilab
from tests.system.hunting import Hunt, random_part
from tests.system.refusals import REFUSALS, Office, settings_of
from tests.system.rivals import EVERY_GRANT
from tests.tokens.running import ACTOR, Running, running

Document = dict[str, Any]
CONTRACT = (
    "request_id", "occurred_at", "tenant", "client_id", "secret_id", "address", "endpoint", "outcome", "code", "reason",
    "checks", "fix", "actor",
)  # fmt: skip


@dataclass
class Told:
    """Each refusal's answer and its record as `audit show` prints it; the causes as `audit explain` does."""

    omnilab: Omnilab
    client: Document
    answers: dict[str, Any]
    records: dict[str, Document]
    causes: list[Document]


async def _open(it: Running) -> Office:
    client = await it.add_client("acme", name="backend")
    await it.platform.tenancy.entitlements.allow("acme", EVERY_GRANT, actor=ACTOR)
    await it.platform.tenancy.grants.allow(client["client_id"], EVERY_GRANT, actor=ACTOR)
    other = await it.add_client("other")
    await it.settle()
    return Office(it, client, other)


async def _tell(folder: Path) -> Told:
    async with running(folder) as it:
        office = await _open(it)
        answers = {name: await refusal.ask(office) for name, refusal in REFUSALS.items()}
        for _ in range(4):
            await REFUSALS["wrong secret"].ask(office)
        await asyncio.sleep(1.1)  # refusals of reads are recorded within a second
        records = {}
        for name, answer in answers.items():
            found = await it.platform.audit.find(answer.headers["x-request-id"])
            (record,) = (present(each) for each in found if each.outcome == "refused")
            records[name] = record
        causes = await it.platform.audit.explain("acme", 0)
    return Told(Omnilab(folder, **settings_of(folder)), office.client, answers, records, causes)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(_tell(tmp_path_factory.mktemp("told")))


def _failed(record: Document) -> Document:
    (failed,) = (check for check in record["checks"] if not check["passed"])
    return dict(failed)


@pytest.mark.parametrize("name", REFUSALS)
def test_the_record_names_the_true_cause_and_the_fix(told: Told, name: str) -> None:
    record, refusal = told.records[name], REFUSALS[name]
    failed = _failed(record)
    assert (record["outcome"], record["code"], failed["name"]) == ("refused", refusal.code, refusal.check)
    assert refusal.found in failed["found"]
    assert refusal.expected in failed["expected"]
    assert failed["found"]
    assert failed["expected"]
    assert record["fix"] == CODES[refusal.code].fix
    assert (record["client_id"] is not None, record["tenant"] is not None) == (refusal.proved, refusal.proved)
    assert record["address"] == "192.0.2.7"


@pytest.mark.parametrize("name", REFUSALS)
def test_the_trace_tells_what_passed_before_and_ends_where_it_failed(told: Told, name: str) -> None:
    record = told.records[name]
    names = [check["name"] for check in record["checks"]]
    order = CHECKS[{"oauth:token": "token", "oauth:revoke": "token_call"}.get(record["endpoint"], "api")]
    assert names == list(order[: order.index(REFUSALS[name].check) + 1])
    assert [check["passed"] for check in record["checks"]] == [True] * (len(names) - 1) + [False]


@pytest.mark.parametrize("name", REFUSALS)
def test_the_caller_was_told_the_same_code(told: Told, name: str) -> None:
    document = told.answers[name].json()
    told_code = document.get("code") or document["error_uri"].rpartition("/")[2]
    assert told_code == told.records[name]["code"]
    assert document["request_id"] == told.records[name]["request_id"]


@pytest.mark.parametrize("name", REFUSALS)
def test_people_read_the_cause_and_what_to_do(told: Told, name: str) -> None:
    record = told.records[name]
    words, failed = decision_text({"records": [record]}), _failed(record)
    assert f"FAILED  {failed['name'].replace('_', ' ')}" in words
    assert f"expected: {failed['expected']}" in words
    assert f"came: {failed['found']}" in words
    assert record["fix"] in words
    assert f"refused: {record['code']}" in words


def test_what_a_stranger_is_not_told_the_record_tells(told: Told) -> None:
    """The two answers are the same; the two records are not."""
    answers = [told.answers[name].json() | {"request_id": ""} for name in ("wrong secret", "unknown client")]
    assert answers[0] == answers[1]
    found = [_failed(told.records[name])["found"] for name in ("wrong secret", "unknown client")]
    assert told.client["client_id"] in found[0]
    assert found[0] != found[1]


def test_causes_are_grouped_with_all_that_support_needs(told: Told) -> None:
    causes = {(cause["code"], cause["check"], cause["client_id"]): cause for cause in told.causes}
    wrong = causes["client_authentication_failed", "credential", told.client["client_id"]]
    assert (wrong["count"], wrong["proved"], wrong["addresses"]) == (5, False, ["192.0.2.7"])
    assert wrong["first"] < wrong["last"]
    assert wrong["fix"] == CODES["client_authentication_failed"].fix
    assert {cause["code"] for cause in told.causes} >= {"secret_expired", "browser_request", "token_predates_grant"}
    assert not {cause["code"] for cause in told.causes} & {"tenant_suspended", "host_unknown"}  # not this tenant's
    assert [cause["count"] for cause in told.causes] == sorted((each["count"] for each in told.causes), reverse=True)


def test_replies_can_be_sent_as_they_are(told: Told) -> None:
    hunt = Hunt()
    hunt.add("client secret", random_part(told.client["client_secret"]))
    for cause in told.causes:
        assert cause["fix"] in cause["reply"]
        assert cause["request_id"] in cause["reply"]
        assert "none of its secrets" not in cause["reply"]  # whether the client is known is not for everybody
        hunt.finds_nothing_in({cause["code"]: str(cause).encode()})


def test_the_commands_say_the_same(told: Told) -> None:
    wanted = told.records["granted later"]
    (record,) = told.omnilab.cli("audit", "show", wanted["request_id"])["records"]
    assert record == wanted
    assert tuple(record)[: len(CONTRACT)] == CONTRACT
    assert set(record) - set(CONTRACT) == {"details", "caller_request_id"}
    assert all(list(check) == ["name", "expected", "found", "passed"] for check in record["checks"])
    explained = told.omnilab.cli("audit", "explain", "--tenant", "acme", "--since", "2000-01-01T00:00:00Z")
    assert explained["causes"] == told.causes
    words = told.omnilab.run("audit", "show", wanted["request_id"]).stdout
    assert words.rstrip() == decision_text({"records": [wanted]}).rstrip()
