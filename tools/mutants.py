"""What `make mutants` found: how many changes of the rules a test noticed, and each one that none did.

Fails below the floor. Why the survivors may live is in docs/mutation.md.
"""

from __future__ import annotations

import ast
import difflib
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOOR_PERCENT = 85.0
_RESULT = re.compile(r"^\s*(\S+)__mutmut_(\d+): (.+?)\s*$")
# A mutant that hangs or ends the process was noticed as well.
NOTICED = {"killed", "timeout", "suspicious", "segfault"}


@cache
def functions(module: str) -> dict[str, str]:
    """Every function of a mutated module as text, the mutants among them."""
    tree = ast.parse((ROOT / "mutants/src" / (module.replace(".", "/") + ".py")).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name: ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kinds)}


def change(name: str, number: str) -> str:
    """What a mutant changed, as the lines before and after."""
    module, _, function = name.rpartition(".")
    found = functions(module)
    before, after = (found.get(f"{function}__mutmut_{each}", "") for each in ("orig", number))
    lines = difflib.unified_diff(before.splitlines()[1:], after.splitlines()[1:], lineterm="", n=0)
    return "\n".join(f"    {line}" for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def main() -> int:
    words: list[str | Path] = [Path(sys.executable).with_name("mutmut"), "results", "--all", "true"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    results = [match.groups() for match in map(_RESULT.match, said.splitlines()) if match]
    counts = Counter(status for _, _, status in results)
    noticed = sum(counts[status] for status in NOTICED)
    for name, number, status in results:
        if status not in NOTICED:
            print(f"{name} {number}: {status}\n{change(name, number)}")
    score = 100 * noticed / max(1, len(results))
    print(", ".join(f"{status} {count}" for status, count in counts.most_common()))
    print(f"{noticed} of {len(results)} mutants noticed: {score:.1f} %, floor {FLOOR_PERCENT:.0f} %")
    return 0 if results and score >= FLOOR_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
