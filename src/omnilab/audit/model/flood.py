"""The one record a minute that stands for a flood of failed authentications. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from omnilab.audit.model.claims import counted
from omnilab.audit.model.record import CLAIMED_CLIENTS, COUNT, TOKEN_ENDPOINT, AuditRecord, rfc3339


class Flood(Protocol):
    """Refusals that were not recorded one by one. Times are milliseconds since 1970 UTC.

    addresses, client_ids: the most frequent ones with their counts; client ids are claimed, not proved.
    """

    @property
    def started_at(self) -> int: ...
    @property
    def ended_at(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def addresses(self) -> Mapping[str, int]: ...
    @property
    def client_ids(self) -> Mapping[str, int]: ...


def flood_record(flood: Flood, client_marks: Mapping[str, int], *, request_id: str, tenant_id: str) -> AuditRecord:
    """The summary, kept under the platform's `tenant_id`; `client_marks` stands for the claimed client ids."""
    return AuditRecord(
        request_id=request_id,
        occurred_at=flood.ended_at,
        tenant_id=tenant_id,
        endpoint=TOKEN_ENDPOINT,
        outcome="refused",
        address=max(flood.addresses, key=flood.addresses.__getitem__) if flood.addresses else None,
        code="too_many_failed_authentications",
        reason="a summary of refusals that were not recorded one by one",
        check="failed_authentications",
        found=f"{flood.refused} refusals from {rfc3339(flood.started_at)} to {rfc3339(flood.ended_at)}",
        details={COUNT: flood.refused, "addresses": counted(flood.addresses), CLAIMED_CLIENTS: counted(client_marks)},
    )
