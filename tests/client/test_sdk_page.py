"""Every example of the SDK's page runs, in its order, against the fake platform."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omnilab.client import OmniLab, OmniLabAuth, settings
from omnilab.client.doctor import CHECKS
from omnilab.client.testing import FakeOmniLab

PAGE = (Path(__file__).resolve().parents[2] / "docs/sdk.md").read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOmniLab]:
    fake = FakeOmniLab()
    for number in (1, 2, 3):
        fake.add_booking("contact-1", booking_id=f"bkg_{number}")
    with fake.serve():
        yield fake


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python(fake: FakeOmniLab, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in fake.environ.items():
        monkeypatch.setenv(name, value)
    before = len(fake.calls)
    names: dict[str, Any] = {"BASE_URL": fake.base_url, "keep_for_later": print}
    exec(compile(code, "docs/sdk.md", "exec"), names)
    for made in names.values():  # a program's end does that
        if isinstance(made, OmniLab | OmniLabAuth):
            made.close()
    assert len(fake.calls) > before or "FakeOmniLab" in code
    assert [call.code for call in fake.calls[before:] if call.code not in ("", "booking_already_cancelled")] == []


def test_shell(fake: FakeOmniLab) -> None:
    (code,) = SHELL
    fake.add_booking("contact-1", booking_id="bkg_3")  # the examples before may have cancelled it
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-eu", "-c", code],
        env=os.environ | fake.environ | {"PATH": path, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for shown in ("Nothing is wrong.", '"healthy":true', "only the platform can read it", "acme", "CANCELLED"):
        assert shown in done.stdout


def test_every_variable_is_in_the_table() -> None:
    named = set(re.findall(r"`(OMNILAB_\w+)`", inspect.getsource(settings)))
    assert len(named) >= 6
    assert named <= set(re.findall(r"`(OMNILAB_\w+)`", PAGE))


def test_every_check_of_the_doctor_is_named_in_its_order() -> None:
    named = re.findall(r"`(\w+)`", PAGE.rpartition("step by step:")[2])
    assert tuple(each for each in named if each in CHECKS) == CHECKS
