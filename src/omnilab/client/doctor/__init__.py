"""What stands between a program and its first booking: examined step by step, the true cause named with its fix.

    from omnilab.client.doctor import diagnose

    report = diagnose({}, wall_clock=time.time)       # settings from the environment, as `OmniLab()` takes them
    if report.cause is not None:
        print(report.cause.check, report.cause.code, report.cause.fix)

`omnilab doctor` prints it. A step whose ground is missing is not tried, so what fails is a cause and never a
consequence. The secret is sent only once what answers has shown that it is OmniLab; nothing is changed anywhere.
"""

from __future__ import annotations

from omnilab.client.doctor.examination import diagnose
from omnilab.client.doctor.findings import CHECKS, Finding, Report

__all__ = ["diagnose", "CHECKS", "Finding", "Report"]
