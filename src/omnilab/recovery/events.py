"""What an audit export says was done: the records that a restored database may lack, in the order of time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from omnilab.audit.model import AuditRecord
from omnilab.audit.model.record import decode
from omnilab.audit.service.export import examine_file
from omnilab.errors import ProvisioningError
from omnilab.tenancy.model.moments import moment_ms, rfc3339

# What takes something back, or gives it again after it was taken back. The order decides, so all of it is replayed.
REPLAYED = frozenset(
    {
        "secrets:revoke", "secrets:expose", "secrets:clear-exposed", "clients:disable", "clients:enable",
        "clients:update", "tenants:suspend", "tenants:restore", "tenants:delete", "tenants:update", "grants:withdraw",
        "grants:allow", "entitlements:withdraw", "entitlements:allow", "audiences:update", "keys:revoke-old",
        "tenants:erase", "oauth:revoke", "hand-offs:open", "bookings:cancel", "contacts:erase",
    }
)  # fmt: skip
# What cannot be made again from a record: a secret's digest, a booking's fields and the like stand in none.
LOST = frozenset(
    {
        "secrets:add", "secrets:rotate", "secrets:import", "clients:create", "tenants:create", "audiences:create",
        "hand-offs:create", "hand-offs:open", "bookings:create", "bookings:import",
    }
)  # fmt: skip


class Events(NamedTuple):
    """What was done, and up to when the export knows (RFC 3339)."""

    records: list[AuditRecord]
    known_until: str


def read_events(file: Path, public_key: str, *, taken_at: int, environment: str, known: Mapping[str, int]) -> Events:
    """The granted records of `REPLAYED` and `LOST` in an export, oldest first.

    known: how far the restored database knows each chain; of what comes later the export must lack nothing.
    Raises ProvisioningError `export_not_intact`, `export_too_old` or `export_cut`, and what `examine_file` raises.
    """
    found = examine_file(file, public_key)
    if not found.intact:
        raise ProvisioningError(
            "export_not_intact",
            f"{file} is not an export of this installation as it was written, or its chains did not hold when it was "
            "made: what it lacks could not be told. Use another export, or --revoke-all-since.",
        )
    exported_at = str(found.about.get("exported_at"))
    if found.about.get("environment") != environment:
        raise ProvisioningError("export_not_intact", f"{file} is an export of another environment.")
    _refuse_if_older(file, exported_at, taken_at)
    _refuse_if_cut(file, {chain_id: position for chain_id, (position, _) in found.cuts.items()}, known)
    with file.open("rb") as lines:
        records = [record for line in lines if (record := _record(line)) is not None]
    records.sort(key=lambda record: (record.occurred_at, record.request_id))
    return Events(records, exported_at)


def _refuse_if_cut(file: Path, cuts: Mapping[str, int], known: Mapping[str, int]) -> None:
    """Retention may have let go of what was recorded after the backup: then nobody knows what it was."""
    if any(position > known.get(chain_id, 0) for chain_id, position in cuts.items()):
        raise ProvisioningError(
            "export_cut",
            f"Before {file} was written, retention let go of records that are younger than the backup: what was taken "
            "back then could not be told. Use an older export as well, or --revoke-all-since.",
        )


def _refuse_if_older(file: Path, exported_at: str, taken_at: int) -> None:
    if moment_ms(exported_at) < taken_at:
        raise ProvisioningError(
            "export_too_old",
            f"{file} was made at {exported_at}, the backup at {rfc3339(taken_at)}: it knows nothing of what was done "
            "since. Use the newest export, or --revoke-all-since.",
        )


def _record(line: bytes) -> AuditRecord | None:
    content: dict[str, Any] = msgspec.json.decode(line)
    if content.get("kind") != "record" or content.get("outcome") != "granted":
        return None
    record = decode(msgspec.json.encode(content["record"]))
    return record if record.endpoint in REPLAYED | LOST else None
