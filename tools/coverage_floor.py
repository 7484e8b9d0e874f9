"""Fails when a house that decides about access or bookings has less than 95 % of its branches covered.

Reads the combined data of `coverage`; prints one line a house and, for those below the floor, the lines that were
never reached. Knows nothing of how the tests were run.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import coverage

HOUSES = ("tenancy", "tokens", "bookings", "audit", "guard")
FLOOR_PERCENT = 95.0


@dataclass(slots=True)
class Tally:
    """What was reached in one house."""

    branches: int = 0
    covered_branches: int = 0
    statements: int = 0
    covered_statements: int = 0

    def add(self, summary: dict[str, int]) -> None:
        self.branches += summary["num_branches"]
        self.covered_branches += summary["covered_branches"]
        self.statements += summary["num_statements"]
        self.covered_statements += summary["covered_lines"]

    @property
    def branch_percent(self) -> float:
        return 100.0 * self.covered_branches / self.branches if self.branches else 0.0

    @property
    def statement_percent(self) -> float:
        return 100.0 * self.covered_statements / self.statements if self.statements else 0.0

    @property
    def is_enough(self) -> bool:
        return min(self.branch_percent, self.statement_percent) >= FLOOR_PERCENT


def tally_houses(measured: coverage.Coverage) -> dict[str, Tally]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(report))
        files = json.loads(report.read_text())["files"]
    tallies = {house: Tally() for house in HOUSES}
    for path, entry in files.items():
        house = Path(path).parts[2]
        if house in tallies:
            tallies[house].add(entry["summary"])
    return tallies


def main() -> int:
    measured = coverage.Coverage()
    measured.load()
    tallies = tally_houses(measured)
    for house, tally in tallies.items():
        print(f"{house:10} branches {tally.branch_percent:5.1f} %   statements {tally.statement_percent:5.1f} %")
    short = [house for house, tally in tallies.items() if not tally.is_enough]
    if not short:
        return 0
    missing = io.StringIO()
    measured.report(include=[f"src/omnilab/{house}/*" for house in short], show_missing=True, file=missing)
    print(missing.getvalue())
    print(f"Below {FLOOR_PERCENT:.0f} %: {', '.join(short)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
