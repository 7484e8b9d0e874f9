"""The closed list of security events: what a record is marked with when a tripwire was touched. Pure.

An event's name is written as a webhook's would be (`….v1`), so that one can be sent later without a new name. Names and
severities only grow; a changed meaning is a new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from omnilab.audit.model.record import AuditRecord

Severity = Literal["low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")
EVENT, SEVERITY = "event", "severity"  # names in a record's `details`


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event."""

    name: str
    severity: Severity
    meaning: str

    @property
    def marks(self) -> dict[str, str | int]:
        """What a record of it carries in `details`."""
        return {EVENT: self.name, SEVERITY: self.severity}


SECRET_EXPOSED = Event(
    "secret.exposed.v1", "high", "A right client secret came from a browser: whoever uses that page has it."
)
SECRET_REVOKED_IN_USE = Event(
    "secret.revoked_in_use.v1",
    "high",
    "A revoked secret is still being presented: a service that was forgotten, or whoever stole it.",
)
SECRET_NEW_ADDRESS = Event(
    "secret.new_address.v1", "medium", "A client's secret was used from an address that never used one of it before."
)
SECRET_WRONG_ENVIRONMENT = Event(
    "secret.wrong_environment.v1", "medium", "A secret of another environment was presented here."
)
BROWSER_SIGNAL = Event(
    "request.from_browser.v1", "low", "A token request came from a browser, without a right secret in it."
)
EVENTS = {
    event.name: event
    for event in (
        SECRET_EXPOSED,
        SECRET_REVOKED_IN_USE,
        SECRET_NEW_ADDRESS,
        SECRET_WRONG_ENVIRONMENT,
        BROWSER_SIGNAL,
    )
}
# The refusals that are a tripwire touched.
_BY_CODE: Mapping[str, Event] = {
    "secret_revoked": SECRET_REVOKED_IN_USE,
    "secret_wrong_environment": SECRET_WRONG_ENVIRONMENT,
    "browser_request": BROWSER_SIGNAL,
}


def event_of_refusal(code: str, *, proved: bool) -> Event | None:
    """The event that a refusal with this code is. A right secret from a browser has a record of its own."""
    return None if code == "browser_request" and proved else _BY_CODE.get(code)


def severity_of(record: AuditRecord) -> str | None:
    """The severity that a record is marked with, None for one that is no event."""
    found = record.details.get(SEVERITY) if EVENT in record.details else None
    return None if found is None else str(found)


def at_least(severity: Severity) -> frozenset[str]:
    """This severity and those above it."""
    return frozenset(SEVERITIES[SEVERITIES.index(severity) :])
