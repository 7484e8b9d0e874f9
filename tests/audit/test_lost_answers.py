"""A commit whose answer is lost has happened: the records are there once, and the process goes on recording."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omnilab.audit.model import AuditRecord
from omnilab.errors import OutcomeUnknownError, UnavailableError
from omnilab.storage.opening import open_database
from tests.audit.place import Place, make_database, path_in
from tests.harness import Omnilab, databases
from tests.harness.databases import run_sql, url_of
from tests.harness.forwarding import Forwarder, forwarding_to

# The first record of a chain takes a transaction. From the third on it is one prepared statement, which holds the id of
# the request.
AT = pytest.mark.parametrize("before", [0, 3], ids=["the first of its chain", "a later one"])


@pytest.fixture
def forwarder() -> Iterator[Forwarder]:
    with databases.using("postgresql"), forwarding_to(databases.cluster().port) as forwarder:
        yield forwarder


def over_network(folder: Path, forwarder: Forwarder, action: Callable[[Place], Awaitable[None]]) -> None:
    """Run one action over a fresh database that is reached through the forwarder."""
    make_database(folder)

    async def run() -> None:
        db = open_database(url_of(path_in(folder)).replace(str(databases.cluster().port), str(forwarder.port)))
        await db.start()
        place = Place(db)
        await action(place)
        assert (await place.audit.verify()).intact
        await place.audit.close()
        await db.close()

    asyncio.run(run())


async def written_unheard(
    folder: Path, forwarder: Forwarder, act: Callable[[], Awaitable[object]], *, last: str, before: int
) -> None:
    """What `act` writes is committed, up to the request `last`, and the connection is reset before anyone hears."""
    forwarder.hush(b"COMMIT" if before == 0 else last.encode())
    waiting = asyncio.ensure_future(act())
    async with asyncio.timeout(10):
        while not run_sql(path_in(folder), f"SELECT 1 FROM audit_records WHERE request_id = '{last}'"):
            await asyncio.sleep(0.01)
    forwarder.cut()
    forwarder.thaw()
    with pytest.raises(OutcomeUnknownError, match="cannot tell whether this was done"):
        await waiting


@AT
def test_a_process_records_on_after_the_answer_to_a_commit_was_lost(
    tmp_path: Path, forwarder: Forwarder, before: int
) -> None:
    async def action(place: Place) -> None:
        for _ in range(before):
            await place.audit.record(place.granted())
        unheard, after = place.granted(), [place.granted() for _ in range(3)]
        await written_unheard(
            tmp_path, forwarder, lambda: place.audit.record(unheard), last=unheard.request_id, before=before
        )
        for record in after:
            await place.audit.record(record)
        for record in (unheard, *after):
            assert await place.audit.find(record.request_id) == [record]

    over_network(tmp_path, forwarder, action)


@AT
def test_what_waited_in_memory_is_written_once(tmp_path: Path, forwarder: Forwarder, before: int) -> None:
    async def action(place: Place) -> None:
        for _ in range(before):
            await place.audit.record(place.granted())
        early = later(place, 5)
        await written_unheard(tmp_path, forwarder, place.audit._buffer.flush, last=early[-1].request_id, before=before)
        late = later(place, 3)
        await place.audit._buffer.flush()
        for record in early + late:
            assert await place.audit.find(record.request_id) == [record]

    over_network(tmp_path, forwarder, action)


def later(place: Place, count: int) -> list[AuditRecord]:
    records = [place.granted() for _ in range(count)]
    for record in records:
        place.audit.record_later(record)
    return records


def test_a_connection_that_was_given_notice_is_an_unavailable_database_and_no_defect(
    tmp_path: Path, forwarder: Forwarder
) -> None:
    async def action(place: Place) -> None:
        record = place.granted()
        await place.audit.record(record)
        assert await place.audit.find(record.request_id) == [record]
        forwarder.hide_ends()
        run_sql(
            path_in(tmp_path),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'omnilab'",
        )
        await asyncio.sleep(0.2)
        with pytest.raises(UnavailableError):
            await place.audit.find(record.request_id)
        with pytest.raises(UnavailableError):
            await place.audit.record(place.granted())
        assert await place.audit.find(record.request_id) == [record]
        await place.audit.record(place.granted())

    over_network(tmp_path, forwarder, action)


def test_a_command_whose_answer_was_lost_says_to_look_first(tmp_path: Path, forwarder: Forwarder) -> None:
    cluster = databases.cluster()
    url = cluster.create_database()
    omnilab = Omnilab(tmp_path, database_url=url).init()
    forwarder.hush(b"COMMIT")
    with ThreadPoolExecutor(1) as thread:
        words = ("tenants", "create", "acme", "--name", "Acme")
        through = url.replace(str(cluster.port), str(forwarder.port))
        command = thread.submit(omnilab.run, *words, database_url=through)
        while not cluster.sql(url.rpartition("/")[2], "SELECT 1 FROM tenants WHERE tenant = 'acme'"):
            assert not command.done(), command.result()
            time.sleep(0.02)
        forwarder.cut()
        forwarder.thaw()
        done = command.result()
    assert done.returncode == 3
    assert "look whether this was done before you repeat it" in done.stderr
    assert "nothing was done" not in done.stderr
