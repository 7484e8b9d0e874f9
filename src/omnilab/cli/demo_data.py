"""The demo's bookings: 14,938 real hotel bookings, brought into the shape of `omnilab bookings import`.

The data is `examples/data/hotel_bookings.csv.gz` (see the README beside it for its source and licence). Everything
it does not have is derived from what it has, always the same way, and nothing is random:

- tenant: one for each of the two hotels, in the order of the file's rows;
- booking_id: `bkg_resort_00001`…, the number of the row among the hotel's rows;
- external_id: `guest-0001`…: a digest of the booking_id deals a hotel's rows to a third as many guests, so that a
  guest has three bookings on average, some one and some ten;
- interaction_id: the month of arrival (`resort-2015-07`), event_id: hotel and reserved room type (`resort-room-a`);
- slot: one for each arrival day and room type, the check-in hours 14:00 to 22:00 UTC of that day; its capacity is the
  number of bookings ever made for it, cancelled ones included, so that each cancelled one left a free place;
- ticket_type: the booked meals; created_at: arrival day minus lead time, at noon UTC;
- booking_status: CANCELLED for what the data calls cancelled (no-shows are part of that), with cancelled_at the date
  of that status; CHECKED_IN for guests who came before October 2015, with checked_in_at the arrival at 15:00 UTC;
  CONFIRMED for guests who came later, as those bookings stood before they came.

`python -m omnilab.cli.demo_data FOLDER` writes one gzip CSV a tenant.
"""

from __future__ import annotations

import argparse
import calendar
import csv
import gzip
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from io import TextIOWrapper
from pathlib import Path

from omnilab.bookings.model.imports import COLUMNS
from omnilab.errors import ProvisioningError

#: The file of the data, in a clone of the repository.
SOURCE = Path(__file__).resolve().parents[3] / "examples" / "data" / "hotel_bookings.csv.gz"
CONFIRMED_FROM = date(2015, 10, 1)
BOOKINGS_PER_GUEST = 3

_MONTHS = {name: number for number, name in enumerate(calendar.month_name) if name}
_MEALS = {"BB": "Bed and breakfast", "HB": "Half board", "FB": "Full board", "SC": "Self catering"}


@dataclass(frozen=True, slots=True)
class Hotel:
    """One of the two hotels of the data, and the tenant it becomes. `short` begins its ids."""

    tenant: str
    name: str
    short: str
    location: str


#: By the data's own name. The places are the paper's.
HOTELS = {
    "Resort Hotel": Hotel("resort-hotel", "Resort Hotel", "resort", "Algarve, Portugal"),
    "City Hotel": Hotel("city-hotel", "City Hotel", "city", "Lisbon, Portugal"),
}

Row = dict[str, str]


def convert(hotel_name: str, source: Path = SOURCE) -> list[Row]:
    """All bookings of one hotel as rows of an import file. Raises ProvisioningError where the data is missing."""
    hotel = HOTELS[hotel_name]
    rows = [row for row in _read(source) if row["hotel"] == hotel_name]
    booked = Counter(_slot_id(hotel, row) for row in rows)
    guests = max(1, len(rows) // BOOKINGS_PER_GUEST)
    return [
        _booking(hotel, row, number=number, guests=guests) | {"slot_capacity": str(booked[_slot_id(hotel, row)])}
        for number, row in enumerate(rows, start=1)
    ]


def write_files(folder: Path, source: Path = SOURCE) -> dict[str, Path]:
    """Write one import file a tenant; returns them by tenant key. The same data gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for hotel_name, hotel in HOTELS.items():
        path = paths[hotel.tenant] = folder / f"{hotel.tenant}.csv.gz"
        with (
            path.open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
            TextIOWrapper(packed, "utf-8", newline="") as text,
        ):
            writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(convert(hotel_name, source))
    return paths


def _read(source: Path) -> Iterator[Row]:
    try:
        with gzip.open(source, "rt", encoding="utf-8", newline="") as text:
            yield from csv.DictReader(text)
    except FileNotFoundError:
        raise ProvisioningError(
            "demo_data_missing",
            f"The demo's bookings are not at {source}: they are part of a clone of the repository, "
            "not of an installed package.",
        ) from None


def _booking(hotel: Hotel, row: Row, *, number: int, guests: int) -> Row:
    day = _arrival(row)
    booking_id = f"bkg_{hotel.short}_{number:05d}"
    room = row["reserved_room_type"]
    return {
        "booking_id": booking_id,
        "external_id": f"guest-{_dealt(booking_id, guests) + 1:04d}",
        "interaction_id": f"{hotel.short}-{day:%Y-%m}",
        "event_id": f"{hotel.short}-room-{room.lower()}",
        "event_title": f"{hotel.name}, room type {room}",
        "event_location": hotel.location,
        "slot_id": _slot_id(hotel, row),
        "slot_start_date": f"{day}T14:00:00Z",
        "slot_end_date": f"{day}T22:00:00Z",
        "ticket_type": _MEALS.get(row["meal"], ""),
        "created_at": f"{day - timedelta(days=int(row['lead_time']))}T12:00:00Z",
        **_state(row, day),
    }


def _state(row: Row, day: date) -> Row:
    if row["is_canceled"] == "1":
        month, day_of_month, year = (int(part) for part in row["reservation_status_date"].split("/"))
        cancelled = date(year, month, day_of_month)
        return {"booking_status": "CANCELLED", "cancelled_at": f"{cancelled}T12:00:00Z", "checked_in_at": ""}
    if day < CONFIRMED_FROM:
        return {"booking_status": "CHECKED_IN", "cancelled_at": "", "checked_in_at": f"{day}T15:00:00Z"}
    return {"booking_status": "CONFIRMED", "cancelled_at": "", "checked_in_at": ""}


def _arrival(row: Row) -> date:
    month = _MONTHS[row["arrival_date_month"]]
    return date(int(row["arrival_date_year"]), month, int(row["arrival_date_day_of_month"]))


def _slot_id(hotel: Hotel, row: Row) -> str:
    return f"{hotel.short}-{_arrival(row)}-{row['reserved_room_type'].lower()}"


def _dealt(text: str, hands: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % hands


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m omnilab.cli.demo_data", description="Write the demo's bookings.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    for tenant, path in write_files(folder).items():
        print(f"{tenant}: {path}")  # noqa: T201 - this is what the command is for


if __name__ == "__main__":
    main()
