"""Checking a database from within: does it have the schema, do its parts fit each other, do its keys open?

Each finding says what does not fit and what to do. Reads one moment of the database; nodes go on serving.
"""

from __future__ import annotations

from typing import Any

from omnilab.crypto.sealing import SealBrokenError
from omnilab.installation import Installation
from omnilab.storage.catalogue import missing_parts
from omnilab.storage.sides import Side, open_side
from omnilab.tenancy.service.tenants import CONTACT_KEY
from omnilab.tokens.model.keys import SEAL_KIND

_HOLDING = "('CONFIRMED', 'CHECKED_IN')"
# What each query finds should not be there.
_QUESTIONS = (
    (
        "places_differ",
        # Counted once for all slots: a count for each would read a tenant's bookings as often as it has slots.
        f"""SELECT s.tenant_id || ' ' || s.slot_id FROM slots s LEFT JOIN
            (SELECT tenant_id, slot_id, count(*) AS places FROM bookings
             WHERE booking_status IN {_HOLDING} GROUP BY tenant_id, slot_id) held
            ON held.tenant_id = s.tenant_id AND held.slot_id = s.slot_id
            WHERE s.places_taken <> coalesce(held.places, 0)""",  # noqa: S608
        "The slot counts other places as taken than its bookings hold: something wrote past OmniLab. Restore.",
    ),
    (
        "booking_without_slot",
        """SELECT b.tenant_id || ' ' || b.booking_id FROM bookings b LEFT JOIN slots s
           ON s.tenant_id = b.tenant_id AND s.slot_id = b.slot_id WHERE s.slot_id IS NULL""",
        "The booking is for a slot that is not there. Import the slot's bookings again, or restore.",
    ),
    (
        "client_without_tenant",
        """SELECT c.client_id FROM clients c LEFT JOIN tenants t ON t.tenant_id = c.tenant_id
           WHERE t.tenant_id IS NULL""",
        "The client's tenant is not there: nothing lets it in. Restore, or delete the row.",
    ),
    (
        "client_without_directory",
        """SELECT c.client_id FROM clients c LEFT JOIN client_directory d
           ON d.client_id = c.client_id AND d.tenant_id = c.tenant_id WHERE d.client_id IS NULL""",
        "The client is not in the directory: audit cannot name its tenant. Restore.",
    ),
    (
        "secret_without_client",
        """SELECT s.secret_id FROM secrets s LEFT JOIN clients c
           ON c.tenant_id = s.tenant_id AND c.client_id = s.client_id WHERE c.client_id IS NULL""",
        "The secret's client is not there: nothing lets it in. Restore, or delete the row.",
    ),
    (
        "grant_without_client",
        """SELECT g.client_id || ' ' || g.endpoint FROM grants g LEFT JOIN clients c
           ON c.tenant_id = g.tenant_id AND c.client_id = g.client_id WHERE c.client_id IS NULL""",
        "The grant's client is not there: it counts for nothing. Restore, or delete the row.",
    ),
)
_NAMED = 20


async def check_database(installed: Installation) -> list[dict[str, Any]]:
    """The findings: `check`, `what` (some of them), how many `more`, and the `fix`. Raises UnavailableError."""
    url = installed.settings.database_url
    findings: list[dict[str, Any]] = []
    async with open_side(url, writable=False) as side:
        findings += await _engine_check(side, url)
        for part in await missing_parts(side, url):
            findings.append(_finding("schema", [part], "Run omnilab db upgrade; if it stays, restore a backup."))
        for name, sql, fix in _QUESTIONS:
            rows = await side.fetch(f"{sql} ORDER BY 1 LIMIT 1000")
            if rows:
                findings.append(_finding(name, [str(row[0]) for row in rows], fix))
        findings += await _sealed(side, installed)
    return findings


def _finding(check: str, what: list[str], fix: str) -> dict[str, Any]:
    return {"check": check, "what": what[:_NAMED], "more": max(0, len(what) - _NAMED), "fix": fix}


async def _engine_check(side: Side, url: str) -> list[dict[str, Any]]:
    if not url.startswith("sqlite:"):
        return []  # PostgreSQL's own is pg_amcheck, which an operator runs where the database runs
    told = [str(row[0]) for row in await side.fetch("PRAGMA integrity_check(20)")]
    if told == ["ok"]:
        return []
    return [_finding("integrity", told, "The file is damaged: stop the service and restore a backup.")]


async def _sealed(side: Side, installed: Installation) -> list[dict[str, Any]]:
    sealed = [
        *((CONTACT_KEY, *row) for row in await side.fetch("SELECT tenant_id, sealed_contact_key FROM tenants")),
        *((SEAL_KIND, *row) for row in await side.fetch("SELECT key_id, sealed_private_key FROM signing_keys")),
    ]
    broken = []
    for kind, name, value in sealed:
        try:
            if value:
                installed.master_key.open(kind, name, value)
        except SealBrokenError:
            broken.append(name)
    fix = (
        "The master key does not open it: it was sealed under another one, or changed. Give all master keys that were."
    )
    return [_finding("sealed_key", broken, fix)] if broken else []
