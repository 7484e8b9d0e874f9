"""`omnilab keys list` and `omnilab keys rotate`, through the command line."""

from __future__ import annotations

from tests.harness import Omnilab

HEADINGS = ["KEY_ID", "ALGORITHM", "STATUS", "CREATED_AT", "ACTIVATED_AT", "RETIRED_AT"]


def test_list_and_rotate(omnilab: Omnilab) -> None:
    listed = omnilab.cli("keys", "list")["keys"]
    assert sorted((key["algorithm"], key["status"]) for key in listed) == [
        ("ES256", "current"),
        ("ES256", "next"),
        ("EdDSA", "current"),
        ("EdDSA", "next"),
        ("RS256", "current"),
        ("RS256", "next"),
    ]
    assert listed[0].keys() == {name.lower() for name in HEADINGS}
    rotated = omnilab.cli("keys", "rotate", "--now")["keys"]
    assert [key["status"] for key in rotated].count("retired") == 3
    # The next keys were made a moment ago: no verifier has had the time to learn of them.
    early = omnilab.run("keys", "rotate", "--json")
    assert early.returncode == 1
    assert "rotation_too_early" in early.stdout
    shown = omnilab.run("keys", "list")
    assert shown.stdout.splitlines()[0].split() == HEADINGS
    assert "PRIVATE" not in shown.stdout
