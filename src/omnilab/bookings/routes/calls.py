"""The four paths of the Booking API: read strictly, hand to the service, answer."""

from __future__ import annotations

import re
from typing import Any

from omnilab.bookings.routes.answers import BookingAnswer, BookingsPage, encode_booking, encode_page
from omnilab.bookings.routes.requests import (
    CANCEL_READER,
    CREATE_READER,
    CancelBody,
    CreateBody,
    ListParameters,
    read_list,
)
from omnilab.bookings.service.calls import CANCEL, CREATE, LIST, BookingService, CallOrigin, Repeat
from omnilab.errors import FieldError, RequestError
from omnilab.storage.idempotency import Answer
from omnilab.telemetry.redaction import looks_like_credential
from omnilab.web.exchange import Exchange
from omnilab.web.operation import Handler, Operation
from omnilab.web.strict_json import json_object

_VISIBLE_ASCII = re.compile(rb"[\x21-\x7e]{1,255}")
_REPLAYED = ((b"idempotency-replayed", b"true"),)


class BookingRoutes:
    """The handlers. The caller is what the gate found: `exchange.caller`."""

    def __init__(self, service: BookingService) -> None:
        self._service = service

    async def list_bookings(self, exchange: Exchange) -> None:
        query = read_list(exchange.query_string)
        rows, total = await self._service.fetch(_origin(exchange), query)
        await exchange.answer(200, encode_page(rows, total, page_number=query.page_number, page_size=query.page_size))

    async def cancel(self, exchange: Exchange) -> None:
        _no_query(exchange)
        order = (await CANCEL_READER.read(exchange)).order()
        repeat = await _repeat(exchange)
        await _answer(
            exchange, await self._service.cancel(_origin(exchange), order, encode=encode_booking, repeat=repeat)
        )

    async def create(self, exchange: Exchange) -> None:
        _no_query(exchange)
        order = (await CREATE_READER.read(exchange)).order()
        repeat = await _repeat(exchange)
        await _answer(
            exchange, await self._service.create(_origin(exchange), order, encode=encode_booking, repeat=repeat)
        )


_KEY_REFUSALS = ("idempotency_in_progress", "idempotency_key_reused")
_EVERY_CALL: dict[str, Any] = {"protected": True, "tag": "Bookings"}
_EVERY_WRITE: dict[str, Any] = _EVERY_CALL | {"method": "POST", "durable_refusals": True, "idempotent_by_key": True}
_LIST: dict[str, Any] = _EVERY_CALL | {
    "method": "GET",
    "endpoint": LIST,
    "summary": "List the bookings of a contact",
    "parameters": ListParameters,
    "answers": {200: BookingsPage},
}
_CANCEL: dict[str, Any] = _EVERY_WRITE | {
    "endpoint": CANCEL,
    "summary": "Cancel one booking of a contact",
    "body": CancelBody,
    "answers": {200: BookingAnswer},
    "leads_to": {"fetchContactBookings": ("external_id", "booking_id")},
    "refusals": ("booking_not_found", "booking_already_cancelled", "booking_checked_in", *_KEY_REFUSALS),
}
_CREATE: dict[str, Any] = _EVERY_WRITE | {
    "endpoint": CREATE,
    "summary": "Book a place in a slot for a contact",
    "body": CreateBody,
    "answers": {201: BookingAnswer},
    "leads_to": {
        "fetchContactBookings": ("external_id", "booking_id"),
        "cancelContactBooking": ("external_id", "booking_id"),
    },
    "refusals": ("slot_full", "slot_mismatch", "booking_exists", *_KEY_REFUSALS),
}


def booking_operations(service: BookingService) -> list[Operation]:
    """The calls of the Booking API and their aliases."""
    routes = BookingRoutes(service)
    return [
        _operation("fetchContactBookings", routes.list_bookings, **_LIST),
        _operation("cancelContactBooking", routes.cancel, **_CANCEL),
        _operation("cancelBooking", routes.cancel, hidden=True, **_CANCEL),
        _operation("createContactBooking", routes.create, **_CREATE),
    ]


def _operation(name: str, handler: Handler, **described: Any) -> Operation:
    return Operation(path=f"/v1/interactions:{name}", operation_id=name, handler=handler, **described)


def _origin(exchange: Exchange) -> CallOrigin:
    """Who calls; the gate lets nobody in whose standing it does not know."""
    caller = exchange.caller
    tenant = caller.standing.tenant
    return CallOrigin(
        exchange.request_id,
        exchange.caller_request_id,
        tenant.tenant_id,
        tenant.tenant,
        caller.client_id,
        caller.credential_id,
        exchange.address,
        tenant.contact_key,
    )


def _no_query(exchange: Exchange) -> None:
    """Writes take no query parameters; one that is ignored might have been meant to narrow the write."""
    if exchange.query_string:
        problem = FieldError("", "this call takes no query parameters")
        raise RequestError(
            "parameter_unknown",
            "This call takes no query parameters; send its fields in the JSON body.",
            errors=[problem],
            check="parameters",
        )


async def _repeat(exchange: Exchange) -> Repeat | None:
    """The `Idempotency-Key`, if there is one, with the body it came with. Raises RequestError."""
    key = exchange.header(b"idempotency-key")
    if key is None:
        return None
    if not _VISIBLE_ASCII.fullmatch(key):
        raise _bad_key("must have 1 to 255 visible ASCII characters")
    text = key.decode("ascii")
    if looks_like_credential(text):
        raise _bad_key("looks like a credential; use a random value of your own, such as a UUID")
    return Repeat(text, json_object(await exchange.body()))


def _bad_key(words: str) -> RequestError:
    return RequestError(
        "parameter_invalid",
        f"Idempotency-Key {words}.",
        errors=[FieldError("Idempotency-Key", words)],
        check="parameters",
        expected="1 to 255 visible ASCII characters",
        found="something else",
    )


async def _answer(exchange: Exchange, answer: Answer) -> None:
    await exchange.answer(answer.status, answer.body, headers=_REPLAYED if answer.replayed else ())
