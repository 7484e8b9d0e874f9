"""A refused request becomes a record that holds what was proved, marks what was claimed, and quotes nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omnilab.audit.model import AuditRecord
from omnilab.audit.recorder import AuditRecorder
from omnilab.audit.service import RecordQuery
from omnilab.errors import (
    LimitError,
    OmniLabError,
    RequestError,
    RightError,
    Subject,
    TokenRefusedError,
    UnavailableError,
)
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Operation
from tests.audit.place import CLIENT, TENANT, Place, over


async def handle(_: Exchange) -> None: ...


TOKEN = Operation(
    method="POST",
    path="/v1/oauth:token",
    operation_id="token",
    handler=handle,
    summary="",
    error_format="oauth",
    durable_refusals=True,
)
READ = Operation(
    method="GET",
    path="/v1/interactions:fetchContactBookings",
    operation_id="fetchContactBookings",
    handler=handle,
    summary="",
    endpoint="bookings:read",
    protected=True,
)
SUBJECT = Subject(TENANT, "acme", CLIENT, "sec_1")


def exchange_of(place: Place, path: str, **changes: Any) -> Exchange:
    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    scope = {"type": "http", "scheme": "https", "method": "POST", "path": path, "query_string": b"", "headers": []}
    exchange = Exchange(scope, receive, send, request_id=place.ids())
    exchange.address = "192.0.2.9"
    for name, value in changes.items():
        setattr(exchange, name, value)
    return exchange


async def recorded(place: Place, exchange: Exchange, operation: Operation | None, error: OmniLabError) -> AuditRecord:
    await AuditRecorder(place.audit, place.clock).refused(exchange, operation, error)
    await place.audit._buffer.flush()
    (record,) = await place.audit.find(exchange.request_id)
    return record


def test_a_proved_subject_is_recorded_as_such(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        error = RightError(
            "endpoint_not_enabled", "No.", reason="no grant", check="grant", expected="a grant", found="none"
        )
        exchange = exchange_of(place, READ.path, subject=SUBJECT, host_tenant="acme", caller_request_id="theirs")
        record = await recorded(place, exchange, READ, error)
        assert (record.tenant_id, record.tenant, record.client_id, record.secret_id) == (
            TENANT,
            "acme",
            CLIENT,
            "sec_1",
        )
        assert (record.endpoint, record.code, record.reason) == ("bookings:read", "endpoint_not_enabled", "no grant")
        assert (record.check, record.expected, record.found) == ("grant", "a grant", "none")
        assert (record.address, record.caller_request_id, record.details) == ("192.0.2.9", "theirs", {})

    over(tmp_path, action)


def test_a_claim_is_recorded_under_the_platform(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        error = TokenRefusedError("client_authentication_failed", "No.", check="credential", claimed_client_id=CLIENT)
        record = await recorded(place, exchange_of(place, TOKEN.path, host_tenant="acme"), TOKEN, error)
        assert (record.tenant_id, record.client_id, record.endpoint) == ("ten_0", None, "oauth:token")
        assert record.details == {"claimed_client": CLIENT, "claimed_tenant": "acme"}

    over(tmp_path, action)


def test_a_host_that_is_no_tenant_key_and_a_path_that_is_no_call_are_not_quoted(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        error = RequestError("not_found", "No.", check="route", expected="a call", found="/v1/contact-1/aB3dE6gH")
        exchange = exchange_of(place, "/v1/contact-1/aB3dE6gH", host_tenant="x" * 63)
        record = await recorded(place, exchange, None, error)
        assert record.details == {}
        assert record.endpoint == "unknown"
        assert "contact-1" not in str(record)

    over(tmp_path, action)


def test_token_refusals_before_the_operation_is_known_are_durable_all_the_same(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        exchange = exchange_of(place, TOKEN.path)
        error = RequestError("method_not_allowed", "No.", check="method")
        await AuditRecorder(place.audit, place.clock).refused(exchange, None, error)
        (record,) = await place.audit.find(exchange.request_id)
        assert record.endpoint == "oauth:token"

    over(tmp_path, action)


def test_a_token_refusal_is_durable_when_the_recorder_returns(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        exchange = exchange_of(place, TOKEN.path)
        error = TokenRefusedError("secret_expired", "No.", check="secret_expiry", subject=SUBJECT)
        await AuditRecorder(place.audit, place.clock).refused(exchange, TOKEN, error)
        assert [each.client_id for each in await place.audit.find(exchange.request_id)] == [CLIENT]

    over(tmp_path, action)


def test_failed_authentications_beyond_the_bound_are_left_to_their_summary(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        exchange = exchange_of(place, TOKEN.path)
        await AuditRecorder(place.audit, place.clock).refused(
            exchange, TOKEN, LimitError("too_many_failed_authentications", "Slow down.")
        )
        await place.audit._buffer.flush()
        assert await place.audit.list_records(RecordQuery()) == []

    over(tmp_path, action)


def test_an_unavailable_database_does_not_keep_its_503_waiting(tmp_path: Path) -> None:
    async def action(place: Place) -> None:
        record = await recorded(place, exchange_of(place, TOKEN.path), TOKEN, UnavailableError("no database"))
        assert record.code == "temporarily_unavailable"
        place.audit._buffer._limit = 0
        recorder = AuditRecorder(place.audit, place.clock)
        await recorder.refused(exchange_of(place, TOKEN.path), TOKEN, UnavailableError("no database"))
        with pytest.raises(UnavailableError):
            await recorder.refused(exchange_of(place, READ.path), READ, RightError("endpoint_not_enabled", "No."))

    over(tmp_path, action)
