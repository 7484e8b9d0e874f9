"""Fixtures every area shares: an installation of one's own, and a served one for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import Credentials, Omnilab, Server, booking_row


@dataclass(frozen=True, slots=True)
class Served:
    """A running installation with one tenant `acme`, one client with every grant, and three bookings of contact-1."""

    omnilab: Omnilab
    server: Server
    client: Credentials


@pytest.fixture
def omnilab(tmp_path: Path) -> Omnilab:
    """An initialised installation, for tests that change or break it."""
    return Omnilab(tmp_path).init()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of a module; they must not depend on each other's changes."""
    omnilab = Omnilab(tmp_path_factory.mktemp("served")).init()
    omnilab.create_tenant("acme", "bookings:create")
    client = omnilab.create_client("acme")
    omnilab.import_bookings("acme", [booking_row(number) for number in (1, 2, 3)])
    with omnilab.serve() as server:
        yield Served(omnilab, server, client)
