"""`audit show` knows the ids of answers that the proxy made by itself, and says whether the request reached us."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnilab.audit.model.edge import read_edge_id
from omnilab.audit.model.record import request_id_floor
from tests.audit.place import Place, over
from tests.harness import Credentials, Omnilab

DIGITS = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "text", ["", "edge-502", f"edge-602-1.000-{DIGITS}", f"edge-502-1-{DIGITS}", f"EDGE-502-1.000-{DIGITS}"]
)
def test_other_texts_are_none(text: str) -> None:
    assert read_edge_id(text) is None


@pytest.mark.parametrize(("status", "may_have"), [(413, False), (400, False), (418, False), (502, True), (504, True)])
def test_the_status_says_whether_it_can_have_reached_us(status: int, may_have: bool) -> None:
    found = read_edge_id(f"edge-{status}-1790000000.250-{DIGITS}")
    assert found is not None
    assert (found.status, found.at_ms) == (status, 1_790_000_000_250)
    assert found.caller_request_id == (f"edge-{DIGITS}" if may_have else None)
    assert found.fix.endswith(".")


def test_a_late_answer_is_found_by_the_callers_id_among_those_of_its_minutes(tmp_path: Path) -> None:
    async def act(place: Place) -> None:
        for minutes, name in ((0, DIGITS), (1, DIGITS), (60, DIGITS), (0, "f" * 32)):
            request_id = request_id_floor(place.clock.ms + minutes * 60_000) + f"-7000-8000-{minutes:03d}{name[:9]}"
            record: Any = place.granted(request_id=request_id, caller_request_id=f"edge-{name}")
            await place.audit.record(record)
        found = await place.audit.find_by_caller(f"edge-{DIGITS}", near_ms=place.clock.ms + 90_000)
        assert [each.request_id[24:27] for each in found] == ["000", "001"]

    over(tmp_path, act)


def test_the_command(provisioned: tuple[Omnilab, Credentials], tmp_path: Path) -> None:
    omnilab = provisioned[0].copied_to(tmp_path)
    told = omnilab.cli("audit", "show", f"edge-413-1790000000.250-{DIGITS}")
    assert (told["answered_by"], told["status"], told["reached_us"], told["records"]) == ("proxy", 413, False, [])
    people = omnilab.run("audit", "show", f"edge-504-1790000000.250-{DIGITS}").stdout
    assert "never reached us" in people
    assert "Idempotency-Key" in people
