"""`make bench-scan`: a tree of 1 GB with secrets planted in it: are all found and none invented, and how long it takes.

The command runs as an operator runs it, in a process of its own; the tree lies in a temporary directory and goes again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.scan.planting import Planter

TREE_BYTES = 1_000_000_000


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="omnilab-scan-") as name:
        planted = Planter(Path(name)).tree(TREE_BYTES)
        command = [str(Path(sys.executable).with_name("omnilab")), "scan", name, "--json"]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
        found = json.loads(done.stdout)
    paths = sorted(each["path"] for each in found["findings"])
    # The paths of files named after a secret come masked.
    exact = [path for path in planted.secrets.values() if path in paths]
    named = sum(each["line"] is None for each in found["findings"])
    print(f"tree            {TREE_BYTES / 1e9:.1f} GB in {found['files']} files ({found['bytes'] / 1e9:.2f} GB read)")
    print(f"planted         {len(planted.secrets)} secrets in 8 kinds of hiding places, and as many decoys")
    print(f"found           {found['secrets']} secrets at {len(paths)} places; {len(exact) + named} at their place")
    print(f"not readable    {len(found['skipped'])}")
    print(f"exit code       {done.returncode}")
    print(f"time            {seconds:.1f} s ({found['bytes'] / 1e6 / seconds:.0f} MB/s)")
    whole = found["secrets"] == len(paths) == len(exact) + named == len(planted.secrets)
    return 0 if whole and done.returncode == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
