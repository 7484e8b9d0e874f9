"""What the service is made of can be listed, and what is known against it is asked."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "tools/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package(name: str, *advisories: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0",
        "vulns": [{"id": each, "aliases": [], "fix_versions": ["1.1"]} for each in advisories],
    }


def test_the_bill_of_materials_names_every_pinned_package_with_its_hashes() -> None:
    done = subprocess.run(["make", "sbom"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    bill = json.loads((ROOT / "build/sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "omnilab"
    listed = {(each["name"], each["version"]): each for each in bill["components"]}
    pins = dict.fromkeys(PIN.findall((ROOT / "requirements/server.txt").read_text()))
    assert len(pins) > 25
    assert set(listed) == set(pins)
    for each in listed.values():
        assert each["purl"].startswith("pkg:pypi/")
        hashes = [one for reference in each["externalReferences"] for one in reference["hashes"]]
        assert {one["alg"] for one in hashes} == {"SHA-256"}


def test_an_advisory_fails_the_audit_and_silence_is_said() -> None:
    verdict = audit().verdict
    silent = {"name": "quiet", "skip_reason": "not found"}
    lines, sound = verdict([{"dependencies": [package("good"), silent]}])
    assert (lines, sound) == (["advisories: asked about 1 of 2 packages"], True)
    lines, sound = verdict(
        [{"dependencies": [package("bad", "GHSA-1")]}, {"dependencies": [], "trouble": "no network"}]
    )
    assert not sound
    assert lines[0] == "bad 1.0: GHSA-1, mended in 1.1"
    assert lines[-1] == "advisories: not asked, no network"
    lines, sound = verdict([{"dependencies": [silent]}])
    assert sound
    assert "out of reach" in lines[-1]


def test_an_accepted_advisory_is_named_with_its_reason() -> None:
    module = audit()
    module.ACCEPTED["GHSA-1"] = "we never call it"
    lines, sound = module.verdict([{"dependencies": [package("bad", "GHSA-1")]}])
    assert sound
    assert lines[0].endswith("(accepted: we never call it)")
    lines, sound = module.verdict([{"dependencies": [package("bad", "GHSA-1", "GHSA-2")]}])
    assert not sound
