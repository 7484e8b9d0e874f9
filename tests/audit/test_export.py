"""An export can be checked with a public key alone; nothing in it can be changed, removed, moved or put in unseen."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from omnilab.audit.model import decode
from omnilab.audit.model.export import Examiner, Lines
from omnilab.audit.service.export import examination_document, examine_file
from omnilab.crypto.statement import StatementSigner, StatementVerifier
from omnilab.errors import ProvisioningError
from tests.audit.place import Place, over, path_in

ABOUT = {"environment": "staging", "issuer": "https://id.example"}


def export(folder: Path, records: int = 30, name: str = "export.jsonl") -> tuple[Path, str]:
    """The export of a database with so many more records, and the public key."""
    path, keys = folder / name, []

    async def act(place: Place) -> None:
        for _ in range(records):
            place.clock.ms += 1000
            await place.audit.record(place.granted())
        await place.audit._checkpoints.write()
        await place.audit.export(path, ABOUT)
        keys.append(place.audit.public_key)

    over(folder, act)
    return path, keys[0]


def check(path: Path, key: str, earlier: Path | None = None) -> dict[str, Any]:
    return examination_document(examine_file(path, key, earlier=earlier))


def test_it_holds_every_record_in_its_own_json(tmp_path: Path) -> None:
    path, key = export(tmp_path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["kind"] for each in lines] == ["begin", "chain", *["record"] * 31, "head", "end"]
    with sqlite3.connect(path_in(tmp_path)) as connection:
        stored = dict(connection.execute("SELECT request_id, body FROM audit_records WHERE chain_position <= 31"))
    exported = {each["request_id"]: each["record"] for each in lines if each["kind"] == "record"}
    assert exported == {request_id: json.loads(body) for request_id, body in stored.items()}
    assert all(body.encode() in path.read_bytes() for body in stored.values())
    assert path.stat().st_mode & 0o777 == 0o600
    found = check(path, key)
    assert found == {
        "intact": True,
        "lines": 35,
        "records": 31,
        "chains": 1,
        **ABOUT,
        "exported_at": lines[0]["exported_at"],
        "file_intact": True,
        "chains_intact": True,
        "faults": [],
        "more_faults": 0,
        "findings": [],
        "more_findings": 0,
    }


def test_another_key_checks_nothing_and_a_wrong_text_is_said_to_be_none(tmp_path: Path) -> None:
    path, _ = export(tmp_path)
    found = check(path, StatementSigner(bytes(32)).public_key)
    assert [(each["first_line"], each["last_line"]) for each in found["faults"]] == [(1, 35)]
    for wrong in ("", "x", "ä" * 43, "A" * 42):
        with pytest.raises(ProvisioningError, match="public key"):
            check(path, wrong)


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    path, _ = export(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ProvisioningError, match="there already"):
        export(tmp_path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_a_tampered_database_is_exported_and_said_to_be_tampered(tmp_path: Path) -> None:
    export(tmp_path)
    with sqlite3.connect(path_in(tmp_path)) as connection:
        connection.execute("UPDATE audit_records SET body = '{' WHERE chain_position = 5")
    path, key = export(tmp_path, name="second.jsonl")
    found = check(path, key)
    assert (found["intact"], found["file_intact"], found["chains_intact"]) == (False, True, False)
    assert [(each["problem"], each["position"]) for each in found["findings"]] == [("changed", 5)]


def test_an_earlier_export_misses_what_is_gone_since(tmp_path: Path) -> None:
    first, key = export(tmp_path, name="first.jsonl")
    second, _ = export(tmp_path, name="second.jsonl")
    assert check(second, key, earlier=first)["intact"]
    with sqlite3.connect(path_in(tmp_path)) as connection:  # all of it, with every checkpoint that saw it
        connection.execute("DELETE FROM audit_records")
        connection.execute("DELETE FROM audit_chains")
    third, _ = export(tmp_path, name="third.jsonl")
    assert check(third, key)["intact"]
    found = check(third, key, earlier=second)
    assert not found["intact"]
    assert [each["position"] for each in found["faults"]] == [31, 31]
    (tmp_path / "broken.jsonl").write_bytes(second.read_bytes()[:-20])
    with pytest.raises(ProvisioningError, match="proves nothing"):
        check(third, key, earlier=tmp_path / "broken.jsonl")


def rehashed(lines: list[bytes]) -> list[bytes]:
    """All hashes made anew, as whoever knows the format can."""
    running, made = hashlib.sha256(b"omnilab-audit-export-1").digest(), []
    for line in lines:
        body = b"{" + line[len(b'{"hash":"') + 66 :].rstrip(b"\n")
        running = hashlib.sha256(running + body).digest()
        made.append(b'{"hash":"' + running.hex().encode() + b'",' + body[1:] + b"\n")
    return made


def tampered(lines: list[bytes], dice: random.Random, *, content_from: int) -> tuple[list[bytes], int]:
    """The lines with one change of a random kind, and the number of the first line that differs."""
    place, kind = dice.randrange(len(lines)), dice.choice(["change", "delete", "repeat", "swap", "cut"])
    new = list(lines)
    if kind == "change":
        at = dice.randrange(content_from, len(new[place]) - 1)
        new[place] = new[place][:at] + bytes([new[place][at] ^ 1]) + new[place][at + 1 :]
    elif kind == "delete":
        del new[place]
    elif kind == "repeat":
        new.insert(place, new[place])
        place += 1
    elif kind == "swap" and place + 1 < len(new):
        new[place], new[place + 1] = new[place + 1], new[place]
    else:
        del new[place:]
    return new, place + 1


@pytest.mark.parametrize("anew", [False, True], ids=["hashes-kept", "hashes-made-anew"])
def test_tamperings_of_the_file_are_found(anew: bool) -> None:
    signer = StatementSigner(bytes(range(32)))
    maker = Lines(signer)
    text = maker.line("begin", format="omnilab-audit-export-1") + maker.line("chain", chain_id="chn_1", cut=None)
    for position in range(1, 1100):
        text += maker.line("record", chain_id="chn_1", position=position, link="00", record={"n": position})
    text += maker.seal("end", intact=True)
    lines, verifier, dice = text.splitlines(keepends=True), StatementVerifier(signer.public_key), random.Random(7)
    assert Examiner(verifier).examine(lines).intact
    for _ in range(250):
        # Made anew, what was changed in a hash would be mended again.
        new, first = tampered(lines, dice, content_from=75 if anew else 0)
        found = Examiner(verifier).examine(rehashed(new) if anew else new)
        assert not found.intact
        fault = found.faults[0]
        if anew:  # named by the thousand lines that one signature covers
            assert fault.first <= first <= fault.last + 1001
        else:
            assert fault.first in (first, first - 1)


def test_any_bytes_are_examined_without_a_crash(tmp_path: Path) -> None:
    verifier = StatementVerifier(StatementSigner(bytes(32)).public_key)
    for text in (b"", b"\n", b"x", b"{}\n", b'{"hash":"' + b"0" * 64 + b'","kind":[]}\n', b"\xff" * 500):
        assert not Examiner(verifier).examine(text.splitlines(keepends=True)).intact


def test_no_line_holds_what_a_record_may_not(tmp_path: Path) -> None:
    path, _ = export(tmp_path)
    for line in path.read_bytes().splitlines()[2:-2]:
        decode(json.dumps(json.loads(line)["record"]))
