"""Known advisories against every pinned package, and whether anybody could be asked. Run by `make audit`.

Fails when an advisory is found. A package that could not be asked about is said, not passed over: where the advisory
service is out of reach the line says so, and the pins are as safe as on the day they were made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements/dev.txt", "requirements/build.txt")
# One line for each advisory that does not touch us: its id, and why. Read again with every `make requirements`.
ACCEPTED: dict[str, str] = {}


def asked(lock: str) -> dict[str, Any]:
    """pip-audit's report of one lock file."""
    words: list[str | Path] = [Path(sys.executable).with_name("pip-audit"), "-r", ROOT / lock]
    words += ["--disable-pip", "--no-deps"]
    words += ["--timeout", "10", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if not done.stdout:
        reason = done.stderr.strip().rpartition("\n")[2] or "pip-audit said nothing"
        return {"dependencies": [], "trouble": reason}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def verdict(reports: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """What to print, and whether nothing is known against any package."""
    packages = {(each["name"], each.get("version")): each for report in reports for each in report["dependencies"]}
    silent = [name for (name, _), each in packages.items() if "skip_reason" in each]
    lines, sound = [], True
    for (name, version), each in packages.items():
        for advisory in each.get("vulns", ()):
            why = next((ACCEPTED[name] for name in (advisory["id"], *advisory["aliases"]) if name in ACCEPTED), None)
            mended = ", ".join(advisory["fix_versions"]) or "no version yet"
            lines.append(
                f"{name} {version}: {advisory['id']}, mended in {mended}" + (f" (accepted: {why})" if why else "")
            )
            sound = sound and why is not None
    lines.append(f"advisories: asked about {len(packages) - len(silent)} of {len(packages)} packages")
    lines += [f"advisories: not asked, {report['trouble']}" for report in reports if "trouble" in report]
    if packages and len(silent) == len(packages):
        lines.append("advisories: the service is out of reach from here; nothing is known, for better or worse")
    return lines, sound


def main() -> int:
    lines, sound = verdict([asked(lock) for lock in LOCKS])
    print("\n".join(lines))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
