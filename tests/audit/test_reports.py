"""Pure rules of reports: what a credential was used for, and which steps a decision goes through."""

from __future__ import annotations

from typing import Any

import pytest

from omnilab.audit.model import AuditRecord
from omnilab.audit.model.chain import ChainKey
from omnilab.audit.model.record import HAND_OFF_ENDPOINT, TOKEN_CALLS, TOKEN_ENDPOINT
from omnilab.audit.model.secret_report import MOST_ROWS, SecretReport
from omnilab.audit.model.trace import _checks_asked, fix_of
from omnilab.codes import CHECKS


def record(**fields: Any) -> AuditRecord:
    given = {
        "request_id": "r",
        "occurred_at": 1,
        "tenant_id": "ten_a",
        "endpoint": TOKEN_ENDPOINT,
        "outcome": "granted",
    }
    return AuditRecord(**(given | fields))


def test_a_report_adds_up_by_address_call_and_outcome_newest_first() -> None:
    report = SecretReport()
    for at, request_id, outcome in (
        (9, "newest", "granted"),
        (5, "between", "granted"),
        (2, "oldest", "granted"),
        (1, "no", "refused"),
    ):
        report.add(record(occurred_at=at, request_id=request_id, outcome=outcome, address="192.0.2.7"))
    granted, refused = report.present()
    assert (granted["count"], granted["first_at"], granted["last_at"]) == (3, 2, 9)
    assert (granted["first_request_id"], granted["last_request_id"]) == ("oldest", "newest")
    assert (refused["count"], refused["outcome"]) == (1, "refused")
    assert not report.more


def test_a_report_is_bounded_and_says_so() -> None:
    report = SecretReport()
    for number in range(MOST_ROWS + 3):
        report.add(record(address=f"2001:db8::{number:x}"))
    assert len(report.present()) == MOST_ROWS
    assert report.more


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({}, "token"),
        ({"endpoint": "bookings:read"}, "api"),
        ({"endpoint": min(TOKEN_CALLS)}, "token_call"),
        ({"endpoint": HAND_OFF_ENDPOINT}, "hand_off"),
        ({"endpoint": "hand-offs:open"}, "hand_off"),
    ],
)
def test_each_kind_of_decision_has_its_steps(fields: dict[str, Any], steps: str) -> None:
    assert _checks_asked(record(**fields)) == CHECKS[steps]


def test_what_nobody_asked_for_was_not_checked() -> None:
    assert _checks_asked(record(endpoint="secrets:expiring")) == ()
    assert _checks_asked(record(outcome="refused")) == ()


def test_a_link_that_is_over_needs_another_one() -> None:
    assert "link" in str(fix_of(record(endpoint=HAND_OFF_ENDPOINT, outcome="refused", check="link")))
    assert fix_of(record()) is None


def test_a_chain_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ChainKey(b"short")
    assert "*" in repr(ChainKey(b"k" * 32))
