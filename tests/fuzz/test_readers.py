"""The short run of `make fuzz`, and that it would notice."""

from __future__ import annotations

import pytest

from tests.fuzz.readers import READERS, Reader
from tests.fuzz.run import fuzz


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_what_has_to_hold_holds(reader: Reader) -> None:
    assert all(reader.hold(right) for right in reader.corpus)
    understood = fuzz(reader, "short", 4000)
    assert understood < 4000


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_reader_that_stumbles_is_noticed(reader: Reader) -> None:
    def stumble(data: bytes) -> bool:
        if b"\x00" in data:
            raise IndexError("stumbled")
        return reader.hold(data)

    with pytest.raises(AssertionError, match=r"IndexError: stumbled"):
        fuzz(reader._replace(hold=stumble), "short", 4000)
