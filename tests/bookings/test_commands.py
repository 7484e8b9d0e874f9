"""`omnilab bookings import|list`, as an operator runs them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tests.bookings.test_import import as_csv, row
from tests.harness import Omnilab


def test_import_and_list(omnilab: Omnilab, tmp_path: Path) -> None:
    omnilab.create_tenant("acme")
    path = tmp_path / "bookings.csv.gz"
    rejected_path = tmp_path / "bookings.csv.gz.rejected.jsonl"
    secret = "omni_dev_" + "a1B2c3D4e5F6" * 4 + "x"
    rows = [
        row(1),
        row(2, slot_start_date="soon"),
        row(3),
        row(4, external_id=secret),
        row(6),
        row(9),
        row(12),
        row(15),
    ]
    path.write_bytes(gzip.compress(as_csv(rows)))

    done = omnilab.cli("bookings", "import", str(path), "--tenant", "acme", expect=1)
    assert done == {"imported": 5, "skipped": 0, "rejected": 3, "rejected_file": str(rejected_path)}
    rejected = [json.loads(line) for line in rejected_path.read_text().splitlines()]
    assert [(each["line"], each["row"]["booking_id"]) for each in rejected] == [(3, "b2"), (5, "b4"), (9, "b15")]
    assert rejected[2]["reason"] == "slot_full: all 5 places of the slot are taken"
    assert rejected_path.stat().st_mode & 0o777 == 0o600
    assert secret[9:] not in rejected_path.read_text()

    page = omnilab.cli("bookings", "list", "--tenant", "acme", "--external-id", "contact-0")
    assert [booking["booking_id"] for booking in page["bookings"]] == ["b12", "b3", "b6", "b9"]
    assert (page["page_number"], page["page_size"], page["total_count"]) == (1, 50, 4)

    path.write_bytes(as_csv([row(1), row(3)]))
    done = omnilab.cli("bookings", "import", str(path), "--tenant", "acme")
    assert done == {"imported": 0, "skipped": 2, "rejected": 0, "rejected_file": None}
    assert not rejected_path.exists()

    shown = omnilab.run("bookings", "import", str(path), "--tenant", "acme")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "2 were there already" in shown.stdout
    shown = omnilab.run("bookings", "list", "--tenant", "acme", "--external-id", "contact-0", "--page-size", "1")
    assert "b12" in shown.stdout
    assert "4 bookings in all" in shown.stdout


def test_refusals_in_words(omnilab: Omnilab, tmp_path: Path) -> None:
    path = tmp_path / "bookings.csv"
    path.write_text("a,b\n1,2\n")
    refused = omnilab.cli("bookings", "import", str(path), "--tenant", "nobody", expect=1)
    assert "nobody" in refused["error"]["message"]
    omnilab.create_tenant("acme")
    refused = omnilab.cli("bookings", "import", str(path), "--tenant", "acme", expect=1)
    assert refused["error"]["code"] == "file_header_invalid"
    refused = omnilab.cli("bookings", "import", str(tmp_path / "none"), "--tenant", "acme", expect=1)
    assert refused["error"]["code"] == "file_unreadable"
