"""What the client may do, what is left of its quotas, and how long its secret lives. Asked with a token it has got."""

from __future__ import annotations

import statistics
from collections.abc import Collection
from datetime import UTC, datetime

from omnilab.client.answers import trouble_of
from omnilab.client.bookings import WHOAMI
from omnilab.client.doctor.findings import Finding, failed, passed, skipped, warned
from omnilab.client.doctor.platform import Platform, told
from omnilab.client.doctor.remedies import REMEDIES, remedy_of
from omnilab.client.effects import Answer
from omnilab.client.errors import Trouble
from omnilab.client.hidden import Hidden
from omnilab.client.results import Quota, WhoAmI

USUAL_ENDPOINTS = ("bookings:read", "bookings:cancel")
_SOON_DAYS = 30
_SLOW_MILLISECONDS = 1000.0
_PROBES = 3


def examine_account(
    platform: Platform, token: Hidden[str], *, named: str, needs: Collection[str], now: float
) -> list[Finding]:
    """The lines after the token. named: the environment that the secret's text names."""
    outcome = platform.call(token)
    me = WHOAMI.read(outcome) if isinstance(outcome, Answer) and outcome.status == 200 else None
    if me is None:
        return [_refused(trouble_of(outcome, token))]
    probe = platform.probe(token)
    audience = _audience(me, probe)
    return [
        _environment(me, named),
        audience,
        _endpoints(me, probe, needs) if audience.status == "pass" else skipped("endpoints", "audience"),
        _quota(me, probe),
        _secret_expiry(me, now),
        _round_trips(platform, token),
    ]


def _refused(trouble: Trouble) -> Finding:
    remedy = remedy_of(trouble)
    # There is a token, so what is refused is what it is for.
    check = "endpoints" if remedy.check == "token" else remedy.check
    return failed(check, trouble.code, told(trouble), remedy.fix)


def _environment(me: WhoAmI, named: str) -> Finding:
    return passed("environment", f"{me.environment}, tenant {me.tenant}" + (", as the secret says" if named else ""))


def _audience(me: WhoAmI, probe: Trouble | None) -> Finding:
    if probe is not None and probe.code == "audience_mismatch":
        fix = f"The client has this audience, and the Booking API has another one. {REMEDIES[probe.code].fix}"
        return failed("audience", probe.code, told(probe), fix)
    return passed("audience", me.audience)


def _endpoints(me: WhoAmI, probe: Trouble | None, needs: Collection[str]) -> Finding:
    enabled = ", ".join(me.allowed) or "none"
    wanted = tuple(needs) or USUAL_ENDPOINTS
    missing = [name for name in wanted if name not in me.allowed]
    fix = f"Ask OmniLab to enable {', '.join(missing)} for {me.client_id}; a new credential is not needed."
    if missing and (needs or not me.allowed):
        found = f"Not enabled: {', '.join(missing)}. Enabled: {enabled}."
        return failed("endpoints", "endpoint_not_enabled", found, fix)
    if missing:
        found = f"Not enabled: {', '.join(missing)}. Enabled: {enabled}."
        return warned("endpoints", "endpoint_not_enabled", found, fix)
    if (
        probe is not None
        and probe.code in ("endpoint_not_enabled", "token_predates_grant")
        and "bookings:read" in wanted
    ):
        return failed("endpoints", probe.code, told(probe), REMEDIES[probe.code].fix)
    return passed("endpoints", f"enabled: {enabled}")


def _quota(me: WhoAmI, probe: Trouble | None) -> Finding:
    told_limits = [
        (f"{kind} of the {holder}", quota)
        for kind, each in me.quotas.items()
        for holder, quota in each.items()
        if quota
    ]
    if probe is not None and probe.status == 429:
        return failed("quota", probe.code, told(probe), REMEDIES["quota_exceeded"].fix)
    if not told_limits:
        return passed("quota", "nothing is limited")
    words = "; ".join(f"{name}: {_left(quota)}" for name, quota in told_limits)
    spent = [name for name, quota in told_limits if quota.remaining <= 0]
    if spent:
        code = "token_quota_exceeded" if spent[0].startswith("token") else "quota_exceeded"
        return failed("quota", code, f"Used up: {', '.join(spent)}. {words}.", REMEDIES[code].fix)
    scarce = [name for name, quota in told_limits if quota.remaining * 10 < quota.limit]
    if scarce:
        fix = "Look who calls so much; spread bulk work, or ask OmniLab for a higher quota."
        return warned("quota", "quota_scarce", f"Nearly used up: {', '.join(scarce)}. {words}.", fix)
    return passed("quota", words)


def _left(quota: Quota) -> str:
    return f"{quota.remaining} of {quota.limit} left, whole again in {quota.resets_in_seconds} s"


def _secret_expiry(me: WhoAmI, now: float) -> Finding:
    if me.secret_expires_at is None:
        return passed("secret_expiry", f"{me.secret_id} has no date of expiry")
    days = (me.secret_expires_at - datetime.fromtimestamp(now, UTC)).total_seconds() / 86_400
    found = f"{me.secret_id} expires at {me.secret_expires_at:%Y-%m-%dT%H:%M:%SZ}, in {max(0, int(days))} days"
    if days < _SOON_DAYS:
        fix = "Ask OmniLab now for a second secret, move the program to it, then have this one removed: no call fails."
        return warned("secret_expiry", "secret_expires_soon", f"{found}.", fix)
    return passed("secret_expiry", found)


def _round_trips(platform: Platform, token: Hidden[str]) -> Finding:
    for _ in range(_PROBES):
        platform.call(token)
    times = platform.milliseconds[-_PROBES:]
    median = statistics.median(times)
    words = f"{', '.join(f'{each:g}' for each in times)} ms a call on an open connection"
    if median > _SLOW_MILLISECONDS:
        fix = "Call from a place nearer to the platform, and raise timeout_seconds where calls are cut short."
        return warned("round_trips", "slow", f"{words}.", fix)
    return Finding(check="round_trips", status="pass", found=words, milliseconds=median)
