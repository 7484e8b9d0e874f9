"""The pure rules, on everything Hypothesis can think of."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnilab.tenancy import refusals
from omnilab.tenancy.model import rules
from omnilab.tenancy.model.moments import moment_ms, rfc3339
from omnilab.tenancy.model.nouns import secret_status
from omnilab.tenancy.model.place import Place
from omnilab.tenancy.model.rules import RuleError

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{1,38})[a-z0-9]")
TENANT_KEYS = st.from_regex(r"[a-z0-9]{2}[a-z0-9]{1,38}", fullmatch=True).filter(
    lambda key: key not in rules.RESERVED_KEYS
)
ANY_RULE = st.sampled_from(
    [
        rules.tenant_key, rules.display_name, rules.endpoint_name, rules.quota, rules.duration_seconds,
        rules.audience_uri, rules.algorithm, rules.mail_address, rules.legacy_client_id, rules.legacy_secret, moment_ms,
    ]
)  # fmt: skip


def error_of(rule: object, text: str) -> RuleError | None:
    try:
        rule(text)  # type: ignore[operator]
    except RuleError as error:
        return error
    return None


@given(ANY_RULE, st.text(max_size=300))
def test_a_rule_takes_a_text_or_refuses_it_without_repeating_it(rule: object, text: str) -> None:
    error = error_of(rule, text)
    if error is not None:
        assert error.code.endswith("_invalid")
        assert len(text) < 12 or text not in error.detail


@given(st.text(max_size=45))
def test_every_tenant_key_is_a_dns_label(text: str) -> None:
    try:
        assert LABEL.fullmatch(rules.tenant_key(text))
    except RuleError:
        return
    assert text not in rules.RESERVED_KEYS


@given(TENANT_KEYS)
def test_every_plain_label_is_a_tenant_key(key: str) -> None:
    assert rules.tenant_key(key) == key


@given(TENANT_KEYS, st.sampled_from([None, "omnilab.example"]), st.sampled_from(["development", "production"]))
def test_a_default_audience_belongs_to_its_tenant_alone(key: str, domain: str | None, environment: str) -> None:
    place = Place(environment=environment, issuer="https://m2m.example", tenant_domain=domain)
    uri = place.default_audience(key)
    assert rules.audience_uri(uri) == uri
    assert place.owner_of_audience(uri) == key
    assert place.owner_of_audience(uri.upper() + "/") == key
    assert place.owner_of_audience(f"https://{key}.example") is None


@given(st.integers(1, 999_999_999), st.sampled_from("smhd"))
def test_durations_are_counted_in_seconds(number: int, unit: str) -> None:
    seconds = number * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[unit]
    if seconds > 100 * 365 * 86_400:
        with pytest.raises(RuleError):
            rules.duration_seconds(f"{number}{unit}")
    else:
        assert rules.duration_seconds(f"{number}{unit}") == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "1w", "1 d", "٣d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(RuleError):
        rules.duration_seconds(text)


@pytest.mark.parametrize("text", ["600/minute", "1/second", "10/hour", "5/day"])
def test_quotas_are_kept_as_written(text: str) -> None:
    assert rules.quota(text) == text


@pytest.mark.parametrize("text", ["600", "0/minute", "600/minutes", "600 / minute", "-1/minute", "600/minute;", ""])
def test_other_quotas_are_refused(text: str) -> None:
    with pytest.raises(RuleError):
        rules.quota(text)


def test_the_quota_default_is_none() -> None:
    assert rules.quota("default") is None


@given(st.integers(0, 4_102_444_800_000))
def test_a_moment_reads_back_as_written(at_ms: int) -> None:
    text = rfc3339(at_ms)
    assert text is not None
    assert moment_ms(text) == at_ms
    assert datetime.fromisoformat(text) == datetime.fromtimestamp(at_ms / 1000, UTC)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2027-01-31", "2027-01-31T00:00:00Z"),
        ("2027-01-31T02:00:00+02:00", "2027-01-31T00:00:00Z"),
        ("2027-01-31t00:00:00z", "2027-01-31T00:00:00Z"),
        ("2027-01-31 00:00:00Z", "2027-01-31T00:00:00Z"),
        ("2027-01-31T00:00:00.25Z", "2027-01-31T00:00:00.250Z"),
    ],
)
def test_moments_in_other_forms(text: str, iso: str) -> None:
    assert rfc3339(moment_ms(text)) == iso


@pytest.mark.parametrize(
    "text",
    ["2027-02-30", "2027-01-31T00:00:00", "tomorrow", "2027", "1800000000", "2027-01-31T25:00:00Z", "31.01.2027"],
)
def test_other_texts_are_no_moments(text: str) -> None:
    with pytest.raises(RuleError):
        moment_ms(text)


@given(st.integers(0, 10), st.one_of(st.none(), st.integers(0, 10)), st.one_of(st.none(), st.integers(0, 10)))
def test_a_secret_is_revoked_before_it_is_expired(now: int, expires: int | None, revoked: int | None) -> None:
    status = secret_status(expires_at=expires, revoked_at=revoked, now_ms=now)
    assert (status == "revoked") == (revoked is not None)
    assert (status == "live") == (revoked is None and (expires is None or now < expires))


def test_every_code_of_a_refusal_stands_in_the_closed_list() -> None:
    house = Path(refusals.__file__).parent
    source = "\n".join(path.read_text() for path in house.rglob("*.py"))
    raised = set(re.findall(r'(?:ProvisioningError|RuleError)\(\s*"([a-z_]+)"', source))
    named = {f"{what}_invalid" for what in ("name", "label", "partner", "reason")}
    assert raised | named == refusals.CODES
