"""`omnilab doctor`: the SDK's examination of the integrator's own settings, shown line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from omnilab.cli.integrator import AllowHttp, Audience, BaseUrl, ClientId, Place, SecretFile
from omnilab.cli.output import REFUSED, JsonFlag, answering, emit
from omnilab.clock import SystemClock

if TYPE_CHECKING:
    from omnilab.client.doctor import Finding, Report

app = typer.Typer()

_SIGNS = {"pass": "ok", "warn": "look", "fail": "FAIL", "skip": "-"}
Needs = Annotated[
    list[str] | None,
    typer.Option("--need", metavar="ENDPOINT", help="An endpoint your program calls, bookings:cancel say; may repeat."),
]


@app.command("doctor")
def doctor(
    need: Needs = None,
    client_id: ClientId = None,
    secret_file: SecretFile = None,
    audience: Audience = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    as_json: JsonFlag = False,
) -> None:
    """Examine the way from this machine to a booking: names the true fault and its fix. Changes nothing.

    Exit code 0 where calls work, 1 where they do not.
    """
    from omnilab.client.doctor import diagnose

    clock = SystemClock()
    options = Place(client_id, secret_file, audience, base_url, allow_http).options()
    with answering(as_json):
        report = diagnose(options, wall_clock=lambda: clock.now_ms() / 1000, needs=need or ())
        emit(report, as_json=as_json, people=_show)
        if not report.healthy:
            raise typer.Exit(REFUSED)


def _show(report: Report) -> str:
    width = max(len(each.check) for each in report.checks)
    lines = [line for each in report.checks for line in _lines(each, width)]
    return "\n".join([*lines, "", _verdict(report)])


def _lines(finding: Finding, width: int) -> list[str]:
    took = "" if finding.milliseconds is None else f" ({finding.milliseconds:g} ms)"
    line = f"{_SIGNS[finding.status]:<5} {finding.check:<{width}}  {finding.found}{took}"
    return [line, f"{'':<{width + 8}}Fix: {finding.fix}"] if finding.fix else [line]


def _verdict(report: Report) -> str:
    if report.cause is None:
        return "Nothing is wrong."
    found = f"{report.cause.check}: {report.cause.code}"
    if report.healthy:
        return f"Calls work. Look at {found}."
    others = [each.check for each in report.checks if each.status == "fail" and each.check != report.cause.check]
    return f"The fault is {found}." + (f" Mend too: {', '.join(others)}." if others else "")
