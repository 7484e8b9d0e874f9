"""The installations that are measured, made once and kept under build/bench until this file changes.

`small`: 100 clients in 20 tenants, 10,000 bookings of contacts with three each, and 200 contacts with fifty.
`tenthousand`: 10,000 clients. `wide`: 100,000 clients in 5,000 tenants. `large`: 5 million bookings.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnilab.storage.schema import HEAD

BUILD = Path("build/bench").resolve()
OMNILAB = str(Path(sys.executable).with_name("omnilab"))
_PLANS = {
    "small": ("--tenants", "20", "--clients", "100", "--bookings", "10000"),
    "tenthousand": ("--tenants", "500", "--clients", "10000", "--bookings", "0"),
    "wide": ("--tenants", "5000", "--clients", "100000", "--bookings", "0"),
    "large": ("--tenants", "20", "--clients", "100", "--bookings", "5000000"),
    "cancels": ("--tenants", "20", "--clients", "100", "--bookings", "200000"),
}
FIFTY_CONTACTS, FIFTY = 200, 50
_LINES = 20_000
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Installation:
    """One database and the credentials of its clients."""

    name: str
    folder: Path
    url: str = ""

    @property
    def database_url(self) -> str:
        return self.url or f"sqlite:///{self.database}"

    @property
    def database(self) -> Path:
        return self.folder / "omnilab.db"

    @property
    def environ(self) -> dict[str, str]:
        """Quotas are on, and so high that none is used up."""
        own = {"DATABASE_URL": self.database_url, "LOG_FORMAT": "json"}
        own |= {"MASTER_KEY_FILE": str(self.folder / "master.key")} if self.url else {}
        own |= {f"{who}_{what}_QUOTA": "60000000/minute" for who in ("CLIENT", "TENANT") for what in ("TOKEN", "API")}
        return os.environ | {f"OMNILAB_{name}": value for name, value in own.items()}

    def read_once(self) -> None:
        """Have the system hold the database in its page cache, as that of a service that has run for a while."""
        with self.database.open("rb") as file:
            while file.read(1 << 22):
                pass

    def credentials(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self.folder / "credentials").read_text().splitlines()]

    def serve(self, port: int, workers: int = 1) -> list[str]:
        return [OMNILAB, "serve", "--workers", str(workers), "--port", str(port)]

    def token_requests(self, *, wrong: float = 0.0) -> Path:
        """A file of token requests as stock libraries send them; a part of them with a wrong secret."""
        path, chance = self.folder / f"tokens-{wrong:.1f}.txt", random.Random(1)
        lines = []
        for each in chance.sample(known := self.credentials(), len(known)):
            secret = each["client_secret"]
            if chance.random() < wrong:
                # As well-formed as a right one: another client's.
                secret = chance.choice([other for other in known[:50] if other is not each])["client_secret"]
            body = f"grant_type=client_credentials&client_id={each['client_id']}&client_secret={secret}"
            lines.append(request_line("POST", "/v1/oauth:token", kind=_FORM, body=body))
        path.write_text("\n".join(lines) + "\n")
        return path


def request_line(method: str, path: str, *, token: str = "", kind: str = "", body: str = "") -> str:
    """One line of requests.lua."""
    return "\t".join((method, path, f"Bearer {token}" if token else "", kind, body))


def installation(name: str) -> Installation:
    """The installation of this name; made now unless it is there, and brought to this program's schema."""
    folder = BUILD / f"data-{name}-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]}"
    made = Installation(name, folder)
    if not (folder / "made").exists():
        for older in BUILD.glob(f"data-{name}-*"):
            shutil.rmtree(older)
        folder.mkdir(parents=True)
        began = time.monotonic()
        print(f"making the installation {name}: omnilab seed {' '.join(_PLANS[name])}", file=sys.stderr, flush=True)
        _command(made, "init")
        _command(made, "seed", *_PLANS[name], "--credentials-file", str(folder / "credentials"))
        if name == "small":
            _add_contacts_with_fifty(made)
        (folder / "made").write_text(f"{time.monotonic() - began:.0f} s\n")
    elif (folder / "schema").read_text() != HEAD:
        _command(made, "init")
    (folder / "schema").write_text(HEAD)
    return made


def _command(made: Installation, *words: str) -> None:
    done = subprocess.run([OMNILAB, *words], env=made.environ, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"omnilab {' '.join(words)}: {done.stdout}{done.stderr}")


def _add_contacts_with_fifty(made: Installation) -> None:
    rows = made.folder / "fifty.jsonl"
    with rows.open("w") as file:
        for contact in range(FIFTY_CONTACTS):
            for number in range(FIFTY):
                file.write(json.dumps(_booking(contact, number)) + "\n")
    _command(made, "bookings", "import", str(rows), "--tenant", "seed-00001")


def _booking(contact: int, number: int) -> dict[str, object]:
    start = f"2031-{1 + number % 12:02d}-{1 + number // 2:02d}T10:00:00Z"
    return {
        "booking_id": f"bkg_fifty_{contact:04d}_{number:02d}",
        "external_id": f"fifty-{contact}",
        "interaction_id": "int_fifty",
        "event_id": f"evt_{number}",
        "event_title": "Product evening",
        "event_location": "Berlin",
        "slot_id": f"slt_fifty_{number}",
        "slot_start_date": start,
        "slot_end_date": start.replace("T10", "T11"),
        "slot_capacity": None,
        "ticket_type": "standard",
    }


def tokens_of(made: Installation, port: int) -> dict[str, str]:
    """A token of one client of every tenant, by the tenant's key."""
    found: dict[str, str] = {}
    for each in made.credentials():
        tenant = each["audience"].rpartition(":")[2]
        if tenant not in found:
            body = json.dumps(
                {name: each[name] for name in ("client_id", "client_secret", "audience")}
                | {"grant_type": "client_credentials"}
            )
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/oauth:token", body.encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(asked) as answer:
                found[tenant] = json.load(answer)["access_token"]
    return found


def list_requests(made: Installation, tokens: dict[str, str], *, fifty: bool = False) -> Path:
    """Lists of random contacts of all tenants, or of the contacts with fifty bookings."""
    path = made.folder / ("lists-50.txt" if fifty else "lists-3.txt")
    chance = random.Random(2)
    if fifty:
        pairs: Sequence[tuple[str, str]] = [("seed-00001", f"fifty-{n}") for n in range(FIFTY_CONTACTS)]
    else:
        share = int(_PLANS[made.name][5]) // 20
        tenants = sorted(tokens)
        pairs = [(chance.choice(tenants), f"contact-{chance.randint(1, share // 3)}") for _ in range(_LINES)]
    _write(path, (_list_line(tokens[tenant], contact) for tenant, contact in pairs))
    return path


def _list_line(token: str, contact: str) -> str:
    return request_line("GET", f"/v1/interactions:fetchContactBookings?external_id={contact}", token=token)


def cancel_requests(made: Installation, tokens: dict[str, str]) -> Path:
    """A cancel of each booking that can be cancelled, tenants mixed."""
    query = """SELECT tenants.tenant, external_id, booking_id FROM bookings JOIN tenants USING (tenant_id)
        WHERE booking_status IN ('CONFIRMED', 'WAITLISTED') ORDER BY booking_id, tenants.tenant"""
    with sqlite3.connect(made.database) as database:
        rows = database.execute(query).fetchall()
    random.Random(3).shuffle(rows)
    path = made.folder / "cancels.txt"
    _write(path, (_cancel_line(tokens[tenant], contact, booking) for tenant, contact, booking in rows))
    return path


def _cancel_line(token: str, contact: str, booking: str) -> str:
    body = json.dumps({"external_id": contact, "booking_id": booking})
    path = "/v1/interactions:cancelContactBooking"
    return request_line("POST", path, token=token, kind="application/json", body=body)


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
