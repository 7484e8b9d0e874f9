"""Deployment files say nothing that the program or the system they are for does not know."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from omnilab.cli.main import NOUNS, VERBS
from omnilab.settings.tree import KNOWN, OTHERS_NAMES, Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
MANIFESTS = [each for each in yaml.safe_load_all((DEPLOY / "kubernetes/omnilab.yaml").read_text()) if each]
COMPOSE = yaml.safe_load((DEPLOY / "container/compose.yaml").read_text())


def test_every_setting_that_a_file_names_is_one() -> None:
    known = {f"OMNILAB_{name.upper()}" for name in KNOWN} | OTHERS_NAMES
    named = {name for path in FILES for name in re.findall(r"\bOMNILAB_[A-Z_]+[A-Z]\b", path.read_text())}
    assert len(named) > 8
    assert named <= known


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
@pytest.mark.parametrize("version", ["1.30", "1.36"])
def test_kubernetes_own_schema(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_kubernetes_schema_finds_what_is_wrong() -> None:
    deployment = yaml.safe_load(yaml.safe_dump(next(each for each in MANIFESTS if each["kind"] == "Deployment")))
    deployment["spec"]["replicaCount"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.30", strict=True)


def containers() -> Iterator[dict[str, Any]]:
    for each in MANIFESTS:
        if each["kind"] in ("Deployment", "Job"):
            yield from each["spec"]["template"]["spec"]["containers"]


def test_what_is_started_are_commands_of_ours() -> None:
    commands = {*NOUNS, *VERBS}
    started = [container["args"][0] for container in containers()]
    started += [
        each["command"][0]
        for name, each in COMPOSE["services"].items()
        if name.startswith(("node", "prepare")) and "command" in each
    ]
    for path in FILES:
        started += re.findall(r"/opt/omnilab/bin/omnilab ([a-z-]+)", path.read_text())
    assert len(started) >= 5
    assert set(started) <= commands


def test_a_stop_takes_no_longer_than_the_supervisor_waits() -> None:
    drain = Settings().drain_seconds
    [deployment] = [each for each in MANIFESTS if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > drain + pause
    unit = (DEPLOY / "systemd/omnilab.service").read_text()
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > drain
    assert all(int(COMPOSE["services"][f"node-{n}"]["stop_grace_period"][:-1]) > drain for n in (1, 2, 3))


def test_nothing_is_root_and_no_secret_is_kept() -> None:
    assert all(each["securityContext"]["readOnlyRootFilesystem"] for each in containers())
    assert all(not value for each in MANIFESTS if each["kind"] == "Secret" for value in each["stringData"].values())
    assert re.search(r"^USER 10001$", (DEPLOY / "container/Containerfile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").iterdir()), ids=lambda path: path.name)
def test_systemd_understands_its_units(unit: Path, tmp_path: Path) -> None:
    """Programs that are not installed here are put beside it; everything else has to be known."""
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is not installed: tools/provision.sh test"
    for each in (DEPLOY / "systemd").iterdir():
        text = each.read_text().replace("/opt/omnilab/bin/omnilab", "/bin/true")
        (tmp_path / each.name).write_text(text)
    done = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / unit.name)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert complaints == []


def test_caddy_understands_its_file() -> None:
    program = shutil.which("caddy")
    assert program, "caddy is not installed: tools/provision.sh test"
    words = [program, "adapt", "--config", str(DEPLOY / "caddy/Caddyfile"), "--adapter", "caddyfile"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"Location"' not in done.stdout  # what its own redirects to https would be
