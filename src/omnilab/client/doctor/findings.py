"""What an examination finds: one line a check, and which of them is the cause."""

from __future__ import annotations

from typing import Literal

import msgspec

Status = Literal["pass", "warn", "fail", "skip"]

#: Every check, in the order in which a call meets what it is about.
CHECKS = (
    "settings",
    "secret_text",
    "dns",
    "connection",
    "tls",
    "platform",
    "clock",
    "environment",
    "audience",
    "token",
    "endpoints",
    "quota",
    "secret_expiry",
    "round_trips",
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line. code: the stable name of what is wrong, "" where nothing is. fix: what to do about it."""

    check: str
    status: Status
    found: str
    code: str = ""
    fix: str = ""
    milliseconds: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All lines, in the order of `CHECKS`. `cause`: what stops calls, else the first warning."""

    healthy: bool
    client_id: str
    base_url: str
    audience: str
    cause: Finding | None
    checks: list[Finding]


def passed(check: str, found: str, *, milliseconds: float | None = None) -> Finding:
    """Nothing is wrong."""
    return Finding(check=check, status="pass", found=found, milliseconds=milliseconds)


def failed(check: str, code: str, found: str, fix: str) -> Finding:
    """This must be mended."""
    return Finding(check=check, status="fail", code=code, found=found, fix=fix)


def warned(check: str, code: str, found: str, fix: str) -> Finding:
    """Calls work, and yet somebody should look at this."""
    return Finding(check=check, status="warn", code=code, found=found, fix=fix)


def skipped(check: str, because: str) -> Finding:
    """Not tried: `because` failed, and this would fail with it."""
    return Finding(check=check, status="skip", found=f"not tried, {because} comes first")


def report_of(findings: list[Finding], *, client_id: str, base_url: str, audience: str) -> Report:
    """The report over what was found, every check that is missing marked as not tried."""
    first = next((each for each in findings if each.status == "fail"), None)
    by_check = {each.check: each for each in findings}
    because = first.check if first is not None else "another check"
    lines = [by_check.get(check) or skipped(check, because) for check in CHECKS]
    fails = [each for each in lines if each.status == "fail"]
    # A clock that is off fails no call of this SDK: where something else fails too, that is what stops them.
    cause = next((each for each in fails if each.check != "clock"), fails[0] if fails else None)
    return Report(
        healthy=cause is None,
        client_id=client_id,
        base_url=base_url,
        audience=audience,
        cause=cause or next((each for each in lines if each.status == "warn"), None),
        checks=lines,
    )
