"""Records are kept as promised: durable when awaited, undone with their unit, flushed soon, refused, never lost."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from omnilab.audit.model import AuditRecord, encode
from omnilab.audit.service import RecordQuery
from omnilab.audit.service.buffer import RecordBuffer
from omnilab.errors import ConflictError, UnavailableError
from omnilab.storage.database import Transaction
from tests.audit.place import Place, make_database, opened, over, path_in
from tests.harness.databases import BOTH_ENGINES, bytes_of, run_sql

pytestmark = BOTH_ENGINES

SECRET = "omni_prd_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kM9oP2r" + "0Ab1Cd"


def test_an_awaited_record_is_found_with_all_it_holds(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        record = place.granted(details={"scope": "bookings:read"}, caller_request_id="their-own")
        await place.audit.record(record)
        assert await place.audit.find(record.request_id) == [record]

    over(tmp_path, action)


def test_an_encoded_record_reads_like_any_other(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        record = place.granted(endpoint="oauth:token")
        await place.audit.record_encoded(record.tenant_id, record.request_id, encode(record))
        assert await place.audit.find(record.request_id) == [record]

    over(tmp_path, action)


def test_several_records_of_one_request_are_found_in_order(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        first = place.granted()
        second = place.refused(request_id=first.request_id)
        await place.audit.record(first)
        await place.audit.record(second)
        assert await place.audit.find(first.request_id) == [first, second]

    over(tmp_path, action)


def test_a_record_of_a_unit_lives_and_dies_with_it(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        kept, lost = place.granted(), place.granted()

        async def good(tx: Transaction) -> None:
            place.audit.record_in(tx, kept)

        async def bad(tx: Transaction) -> None:
            place.audit.record_in(tx, lost)
            raise ConflictError("slot_full", "The slot is full.")

        async def try_bad() -> None:
            with pytest.raises(ConflictError):
                await place.db.write(bad)

        await asyncio.gather(place.db.write(good), try_bad())
        assert await place.audit.find(kept.request_id) == [kept]
        assert await place.audit.find(lost.request_id) == []
        assert (await place.audit.verify()).intact

    over(tmp_path, action)


def test_later_records_are_written_by_the_background_within_a_second(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        await place.audit.start()
        record = place.granted()
        place.audit.record_later(record)
        async with asyncio.timeout(5):
            while not await place.audit.find(record.request_id):
                await asyncio.sleep(0.02)

    over(tmp_path, action)


def test_what_waits_is_flushed_when_the_process_stops(tmp_path: Path) -> None:
    make_database(tmp_path)
    records: list[AuditRecord] = []

    async def run() -> None:
        async with opened(tmp_path) as place:
            await place.audit.start()
            for _ in range(1203):
                records.append(place.granted())
                place.audit.record_later(records[-1])
        async with opened(tmp_path) as place:
            assert [await place.audit.find(record.request_id) for record in records] == [[each] for each in records]
            assert (await place.audit.verify()).intact

    asyncio.run(run())


def test_a_full_buffer_refuses_instead_of_losing(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        buffer = RecordBuffer(place.db, place.audit._sink, limit=3)
        records = [place.granted() for _ in range(4)]
        entries = [(each.tenant_id, each.request_id, each.outcome, encode(each)) for each in records]
        for entry in entries[:3]:
            buffer.add(entry)
        with pytest.raises(UnavailableError):
            buffer.add(entries[3])
        await buffer.flush()
        buffer.add(entries[3])
        await buffer.close()
        assert [len(await place.audit.find(each.request_id)) for each in records] == [1, 1, 1, 1]

    over(tmp_path, action)


def test_a_failing_database_makes_records_wait_in_order(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        records = [place.granted() for _ in range(5)]
        run_sql(path_in(tmp_path), "ALTER TABLE audit_records RENAME TO elsewhere")
        for record in records:
            place.audit.record_later(record)
        with pytest.raises(UnavailableError):
            await place.audit._buffer.flush()
        with pytest.raises(UnavailableError):
            await place.audit.record(place.granted())
        run_sql(path_in(tmp_path), "ALTER TABLE elsewhere RENAME TO audit_records")
        await place.audit._buffer.flush()
        found = await place.audit.list_records(RecordQuery())
        assert {each.request_id for each in found} == {each.request_id for each in records}
        assert (await place.audit.verify()).intact

    over(tmp_path, action)


def test_the_background_tries_again_after_a_failure(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        record = place.granted()
        run_sql(path_in(tmp_path), "ALTER TABLE audit_records RENAME TO elsewhere")
        await place.audit.start()
        place.audit.record_later(record)
        await asyncio.sleep(0.7)
        run_sql(path_in(tmp_path), "ALTER TABLE elsewhere RENAME TO audit_records")
        async with asyncio.timeout(10):
            while not await place.audit.find(record.request_id):
                await asyncio.sleep(0.05)

    over(tmp_path, action)


def test_a_defect_ends_neither_the_flush_nor_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def action(place: Place) -> None:
        record, append = place.granted(), place.db.append
        failed = asyncio.Event()

        def fail(*_: object) -> None:
            failed.set()
            raise RuntimeError("a defect")

        monkeypatch.setattr(place.db, "append", fail)
        await place.audit.start()
        place.audit.record_later(record)
        await asyncio.wait_for(failed.wait(), 5)
        monkeypatch.setattr(place.db, "append", append)
        async with asyncio.timeout(10):
            while not await place.audit.find(record.request_id):
                await asyncio.sleep(0.05)

    over(tmp_path, action)


def test_a_closing_database_refuses_and_keeps(tmp_path: Path) -> None:
    make_database(tmp_path)

    async def run() -> None:
        async with opened(tmp_path) as place:
            place.audit.record_later(place.granted())
            await place.db.close()
            with pytest.raises(UnavailableError):
                await place.audit.close()
            await place.db.start()
            place.db._closing = False
            await place.audit.close()

    asyncio.run(run())


@pytest.mark.parametrize("outcome", ["granted", "refused"])
def test_no_record_quotes_a_credential(tmp_path: Path, outcome: str) -> None:
    async def action(place: Place) -> None:
        record = place.granted(
            outcome=outcome,
            reason=f"the secret {SECRET} is wrong",
            expected=f"not {SECRET}",
            found=SECRET,
            details={"claimed": SECRET, "count": 3},
            caller_request_id=SECRET,
        )
        await place.audit.record(record)
        place.audit.record_later(record)

        async def unit(tx: Transaction) -> None:
            place.audit.record_in(tx, record)

        await place.db.write(unit)

    over(tmp_path, action)
    text = bytes_of(path_in(tmp_path))
    pieces = (SECRET[9 + start : 17 + start].encode() for start in range(42))
    assert not [piece for piece in pieces if piece in text]
    assert re.search(rb"masked", text)


def test_a_process_that_recorded_nothing_writes_nothing(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        await place.audit.start()

    over(tmp_path, action)
    assert run_sql(path_in(tmp_path), "SELECT count(*) FROM audit_chains") == [(0,)]
