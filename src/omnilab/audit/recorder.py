"""Turns a refused request into its audit record: what `web` hands every refusal to.

Promises that a record holds as proved only what was proved, and of the rest only what cannot be a secret or a
contact's id: no path that is no call, no query string; an unknown host only masked, for it tells which proxy to mend.
"""

from __future__ import annotations

import contextlib
import re

from omnilab.audit.model.record import CLAIMED_CLIENT, CLAIMED_TENANT, TOKEN_ENDPOINT, AuditRecord
from omnilab.audit.service import AuditService
from omnilab.audit.service.tripwires import Tripwires
from omnilab.clock import Clock
from omnilab.errors import OmniLabError, UnavailableError
from omnilab.storage.tables import PLATFORM_TENANT
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation

UNKNOWN_ENDPOINT = "unknown"
_TOKEN_PATH = "/v1/" + TOKEN_ENDPOINT
_TENANT_KEY = re.compile(r"[a-z0-9-]{3,40}")


class AuditRecorder:
    """Web's recorder: a refusal of a token or a write is durable before it is answered, one of a read soon after."""

    def __init__(self, audit: AuditService, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._tripwires = Tripwires()

    async def refused(self, exchange: Exchange, operation: Operation | None, error: OmniLabError) -> None:
        """Record a refusal. Raises UnavailableError when that cannot be done: then the answer is 503."""
        if error.code == "too_many_failed_authentications":
            return  # one summary a minute stands for all of them (`AuditService.record_flood`)
        record = self._record_of(exchange, operation, error)
        if isinstance(error, UnavailableError):
            # Nothing was decided, and the database may be the reason: the record waits for it, the caller does not.
            with contextlib.suppress(UnavailableError):
                self._audit.record_later(record)
        elif operation.durable_refusals if operation is not None else record.endpoint == TOKEN_ENDPOINT:
            await self._audit.record(record)
        else:
            self._audit.record_later(record)

    def _record_of(self, exchange: Exchange, operation: Operation | None, error: OmniLabError) -> AuditRecord:
        subject = exchange.subject or error.subject
        claims = self._claims_of(exchange, error) if subject is None else {}
        marks = self._tripwires.marks(
            error.code,
            proved=subject is not None,
            whose=str(subject.secret_id if subject else claims.get(CLAIMED_CLIENT, "")),
            address_group=exchange.address_group,
            now_ms=self._clock.now_ms(),
        )
        no_path = error.code == "not_found" and error.check == "route"
        return AuditRecord(
            request_id=exchange.request_id,
            occurred_at=self._clock.now_ms(),
            tenant_id=subject.tenant_id if subject else PLATFORM_TENANT,
            endpoint=_endpoint_of(exchange, operation),
            outcome="refused",
            tenant=subject.tenant if subject else None,
            client_id=subject.client_id if subject else None,
            secret_id=subject.secret_id if subject else None,
            address=exchange.address or None,
            code=error.code,
            reason=error.reason,
            check=error.check or None,
            expected=error.expected or None,
            found="a path that is no call" if no_path else error.found or None,
            details=claims | marks,
            caller_request_id=exchange.caller_request_id,
        )

    def _claims_of(self, exchange: Exchange, error: OmniLabError) -> dict[str, str | int]:
        claims: dict[str, str | int] = {}
        if error.claimed_client_id:
            claims[CLAIMED_CLIENT] = self._audit.client_mark(error.claimed_client_id)
        if exchange.host_tenant and _TENANT_KEY.fullmatch(exchange.host_tenant):
            claims[CLAIMED_TENANT] = exchange.host_tenant
        return claims


def _endpoint_of(exchange: Exchange, operation: Operation | None) -> str:
    """The name of the call: its endpoint grant, or its path without the version (`oauth:token`)."""
    if operation is not None:
        return operation.endpoint or operation.path.removeprefix("/v1/")
    return TOKEN_ENDPOINT if exchange.path == _TOKEN_PATH else UNKNOWN_ENDPOINT
