"""Several master keys at once: the first one seals, each opens, and a file is read again when nothing opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnilab.crypto.sealing import MasterKey, MasterKeyError, SealBrokenError, new_master_key_text

OLD, NEW = new_master_key_text(), new_master_key_text()


def test_the_first_key_seals_and_each_opens() -> None:
    old, both = MasterKey.parse(OLD), MasterKey.parse(f"{NEW}\n{OLD}\n")
    sealed = old.seal("kind", "row", b"text")
    assert both.open("kind", "row", sealed) == b"text"
    with pytest.raises(SealBrokenError):
        old.open("kind", "row", both.seal("kind", "row", b"text"))


@pytest.mark.parametrize("between", [" ", "\n", ",", " ,\n "])
def test_keys_are_told_apart_however_they_are_written(between: str) -> None:
    both = MasterKey.parse(f"{NEW}{between}{bytes(32).hex()}")
    assert both.open("k", "r", MasterKey(bytes(32)).seal("k", "r", b"x")) == b"x"


@pytest.mark.parametrize("text", ["", " ", "short", f"{OLD} short"], ids=["none", "blank", "short", "a key and more"])
def test_a_text_with_anything_else_is_refused_whole(text: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        MasterKey.parse(text)
    assert "short" not in str(caught.value)


def test_resealing_moves_to_the_first_key_and_only_once() -> None:
    both = MasterKey.parse(f"{NEW} {OLD}")
    moved = both.reseal("kind", "row", MasterKey.parse(OLD).seal("kind", "row", b"text"))
    assert moved is not None
    assert MasterKey.parse(NEW).open("kind", "row", moved) == b"text"
    assert both.reseal("kind", "row", moved) is None


def test_a_process_that_runs_reads_its_file_again(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_text(OLD)
    running = MasterKey.parse(file.read_text(), again=file.read_text)
    file.write_text(f"{NEW}\n{OLD}")
    assert running.open("kind", "row", MasterKey.parse(NEW).seal("kind", "row", b"text")) == b"text"
    assert running.reseal("kind", "row", MasterKey.parse(OLD).seal("kind", "row", b"text")) is not None


@pytest.mark.parametrize("content", [None, "not a key"])
def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "master.key"
    file.write_text(OLD)
    running = MasterKey.parse(OLD, again=file.read_text)
    sealed = running.seal("kind", "row", b"text")
    file.unlink()
    if content is not None:
        file.write_text(content)
    assert not running.refresh()
    assert running.open("kind", "row", sealed) == b"text"
    with pytest.raises(SealBrokenError):
        running.open("kind", "other row", sealed)
