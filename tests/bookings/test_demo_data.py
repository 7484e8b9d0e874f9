"""The real bookings behind `make demo`."""

from __future__ import annotations

import asyncio
import csv
import gzip
from collections import Counter
from pathlib import Path

import pytest

from omnilab.audit.model import Actor
from omnilab.bookings.service import ImportFile, ImportResult, ImportTarget, Rejected
from omnilab.cli import demo_data
from omnilab.errors import ProvisioningError
from tests.bookings.rig import Rig, new_database, opened

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return demo_data.write_files(tmp_path_factory.mktemp("demo"))


def test_all_real_bookings_are_there_in_their_states(files: dict[str, Path]) -> None:
    states: Counter[str] = Counter()
    for path in files.values():
        with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
            states.update(row["booking_status"] for row in csv.DictReader(text))
    assert states.total() == 14_938
    assert states["CANCELLED"] == 8_000
    assert min(states["CONFIRMED"], states["CHECKED_IN"]) > 2_000


def test_the_same_data_gives_the_same_files(files: dict[str, Path], tmp_path: Path) -> None:
    again = demo_data.write_files(tmp_path)
    assert {tenant: path.read_bytes() for tenant, path in files.items()} == {
        tenant: path.read_bytes() for tenant, path in again.items()
    }


def test_every_row_is_imported_and_each_tenant_can_cancel(files: dict[str, Path], tmp_path: Path) -> None:
    async def run() -> ImportResult:
        total = ImportResult()
        async with opened(new_database(tmp_path)) as rig:
            for tenant, path in files.items():
                result, rejected = await import_file(rig, tenant, path)
                assert rejected == []
                total.imported += result.imported
            assert await cancellable(rig) == set(files)
        return total

    assert asyncio.run(run()) == ImportResult(imported=14_938)


async def import_file(rig: Rig, tenant: str, path: Path) -> tuple[ImportResult, list[Rejected]]:
    rejected: list[Rejected] = []
    target = ImportTarget(f"ten_{tenant}", tenant, Actor("tester", "here"), path.name)
    with ImportFile(path) as source:
        return await rig.importer.run(target, source.rows(), reject=rejected.append), rejected


async def cancellable(rig: Rig) -> set[str]:
    """The tenants in which a contact of the converter's own making has a booking to cancel."""
    found = set()
    for hotel_name, hotel in demo_data.HOTELS.items():
        first = next(row for row in demo_data.convert(hotel_name) if row["booking_status"] == "CONFIRMED")
        answer = await rig.cancel(
            first["booking_id"], contact=first["external_id"], origin=rig.origin(f"ten_{hotel.tenant}")
        )
        found |= {hotel.tenant} if answer.status == 200 else set()
    return found


def test_the_data_has_its_licence_beside_it() -> None:
    assert "CC BY 4.0" in (DATA / "README.md").read_text()


def test_missing_data_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ProvisioningError, match="part of a clone"):
        demo_data.convert("City Hotel", tmp_path / "missing.csv.gz")


def test_the_module_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo_data.main([str(tmp_path)])
    assert "resort-hotel" in capsys.readouterr().out
