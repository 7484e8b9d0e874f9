"""The order of the examination: each step only on firm ground, so that what fails is the cause."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from omnilab.client.doctor.account import examine_account
from omnilab.client.doctor.findings import Finding, Report, report_of
from omnilab.client.doctor.place import Given, raw, read_place, shown
from omnilab.client.doctor.platform import Platform
from omnilab.client.doctor.route import Route
from omnilab.client.errors import ConfigurationError
from omnilab.client.settings import Options, Settings


def diagnose(options: Options, *, wall_clock: Callable[[], float], needs: Collection[str] = ()) -> Report:
    """Examine one client's settings and the way to the platform.

    options: as `OmniLab` takes them; the environment for what they leave out. wall_clock: seconds since 1970 by this
    machine's date. needs: endpoints that the program calls, such as `bookings:cancel`; one that is not enabled is then
    a fault. Raises nothing for what it finds.
    """
    environ = options.get("environ")
    environ = os.environ if environ is None else environ
    given = read_place(options, environ)
    findings = list(given.findings)
    if given.settings is not None:
        findings += _way(given.settings, given, wall_clock=wall_clock, needs=needs)
    texts = {name: shown(raw(name, options, environ).strip()) for name in ("client_id", "base_url", "audience")}
    return report_of(findings, **texts)


def _way(settings: Settings, given: Given, *, wall_clock: Callable[[], float], needs: Collection[str]) -> list[Finding]:
    findings: list[Finding] = []
    route = Route(settings, wall_clock)
    for step in (route.dns, route.connection, route.tls):
        findings.append(step())
        if findings[-1].status == "fail":
            return findings
    platform = Platform(settings, route, wall_clock)
    try:
        findings += platform.answers()
        if any(each.status == "fail" for each in [*given.findings, *findings] if each.check != "clock"):
            return findings  # no secret to one that is not OmniLab, and no secret that cannot be right
        token, found = platform.token(settings.secret.read())
        findings += found
        if token is not None:
            now = wall_clock()
            findings += examine_account(platform, token, named=given.environment, needs=needs, now=now)
    except ConfigurationError as error:  # the secret's file has gone meanwhile
        findings.append(Finding(check="secret_text", status="fail", code=error.code, found=error.detail))
    finally:
        platform.close()
    return findings
