"""Fixtures every area shares: an installation of one's own, and a served one for the tests of a module."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, sync_playwright

from tests.harness import Credentials, Omnilab, Server, booking_row, databases, observing
from tests.harness.measuring import measured_as
from tests.harness.standing import close_standing

# A shell that runs the tests in the background has them ignore these, and programs would inherit that.
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# How long an example takes says how busy the machine is, never whether the code is right.
settings.register_profile("whatever it takes", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("whatever it takes")


@pytest.fixture(scope="module", autouse=True)
def measuring(request: pytest.FixtureRequest) -> Iterator[None]:
    """Coverage of this process, where the module's tests are measured."""
    with measured_as(request.node.nodeid):
        yield


@dataclass(frozen=True, slots=True)
class Served:
    """A running installation with one tenant `acme`, one client with every grant, and three bookings of contact-1."""

    omnilab: Omnilab
    server: Server
    client: Credentials


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """The database engine under a test of `databases.BOTH_ENGINES`."""
    with databases.using(request.param) as name:
        yield name


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an initialised installation, to be copied: making keys costs a second each time."""
    return Omnilab(tmp_path_factory.mktemp("initialised")).init().directory


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Omnilab, Credentials]:
    """An installation with tenant `acme`, a client and three bookings, to be copied: five commands cost seconds."""
    omnilab = Omnilab(tmp_path_factory.mktemp("provisioned")).init()
    omnilab.create_tenant("acme", "bookings:create")
    client = omnilab.create_client("acme")
    omnilab.import_bookings("acme", [booking_row(number) for number in (1, 2, 3)])
    return omnilab, client


@pytest.fixture
def omnilab(tmp_path: Path, initialised: Path) -> Omnilab:
    """An initialised installation, for tests that change or break it."""
    shutil.copytree(initialised, tmp_path, dirs_exist_ok=True)
    return Omnilab(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provisioned: tuple[Omnilab, Credentials]) -> Iterator[Served]:
    """One server for all tests of a module; they must not depend on each other's changes."""
    template, client = provisioned
    omnilab = template.copied_to(tmp_path_factory.mktemp("served"))
    with omnilab.serve() as server:
        yield Served(omnilab, server, client)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Its driver leaves an event loop running, so a module with a browser has no `asyncio.run`."""
    with sync_playwright() as playwright:
        # As root Chromium runs without its sandbox only; it opens nothing but our own pages on loopback.
        options = ["--no-sandbox", "--no-proxy-server", "--disable-gpu"]
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=options)
        yield chromium
        chromium.close()


# Longest first: two processes share the files, and a long one that begins last leaves the other with nothing to do.
_LONG = ("system", "cluster", "client", "serving", "helpcenter", "tenancy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folders = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: folders.get(item.path.relative_to(Path(__file__).parent).parts[0], len(_LONG)))


def pytest_sessionfinish() -> None:
    """What was measured is written now: a process of pytest-xdist that takes ten seconds to end is killed."""
    close_standing()
    if (measuring := coverage.Coverage.current()) is not None:
        measuring.stop()
        measuring.save()


def pytest_runtest_teardown(item: pytest.Item) -> None:
    observing.hand_on(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for found in terminalreporter.stats.values() for report in found]
    if lines := [line for report in reports for line in observing.noted_in(report)]:
        terminalreporter.section("observed")
        for line in lines:
            terminalreporter.write_line(line)
