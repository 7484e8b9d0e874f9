"""What the calls of the Booking API take, as types that the readers enforce and the API document shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from omnilab.bookings.model import fields
from omnilab.bookings.model.booking import STATUS_OF, ListFilters, ListQuery, Slot
from omnilab.bookings.model.times import time_ms, with_plus
from omnilab.bookings.service.calls import CancelOrder, CreateOrder
from omnilab.errors import FieldError, RequestError
from omnilab.telemetry.redaction import looks_like_credential
from omnilab.web.parameters import JsonReader, QueryReader

_TIME_WORDS = "must be an RFC 3339 time with its offset, such as 2026-12-01T10:00:00Z"


class Moment(int):
    """A time of a request, in milliseconds since 1970 UTC."""


class Identifier(str):
    """An id in a JSON body. (In a query string the reader itself refuses control characters.)"""

    __slots__ = ()


class Words(str):
    """Text for people in a JSON body."""

    __slots__ = ()


def _moment(value: object) -> Moment:
    at_ms = time_ms(value) if isinstance(value, str) else None
    if at_ms is None:
        raise ValueError(_TIME_WORDS)
    return Moment(at_ms)


def _moment_of_query(value: object) -> Moment:
    return _moment(with_plus(value) if isinstance(value, str) else value)


def _identifier(value: object) -> Identifier:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if problem := fields.id_problem(value):
        raise ValueError(problem)
    return Identifier(value)


def _words(value: object) -> Words:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if problem := fields.text_problem(value):
        raise ValueError(problem)
    return Words(value)


_BODY_TYPES: dict[type, Callable[[object], Any]] = {Moment: _moment, Identifier: _identifier, Words: _words}


def _decode_of_body(kind: type, value: Any) -> Any:
    """msgspec's `dec_hook` for the types above."""
    return _BODY_TYPES[kind](value)


def _decode_of_query(_: type, value: Any) -> Any:
    """The same for query strings, where a time is the one type of our own."""
    return _moment_of_query(value)


_Time = Annotated[Moment, Meta(extra_json_schema={"type": "string", "format": "date-time"})]
_Id = Annotated[
    Identifier,
    Meta(
        extra_json_schema={
            "type": "string",
            "minLength": 1,
            "maxLength": fields.ID_CHARACTERS,
            "pattern": fields.ID_PATTERN,
        }
    ),
]
_TEXT_FORM = {"pattern": fields.TEXT_PATTERN}
_Text = Annotated[Words, Meta(extra_json_schema={"type": "string", "maxLength": fields.TEXT_CHARACTERS, **_TEXT_FORM})]
_Capacity = Annotated[
    int,
    Meta(
        ge=1,
        le=fields.MAX_CAPACITY,
        description="The slot's places, null for unlimited. The first booking sets it; later ones may leave it out.",
    ),
]
_QueryId = Annotated[
    str,
    Meta(min_length=1, max_length=fields.ID_CHARACTERS, extra_json_schema={"pattern": fields.ID_PATTERN}),
]


class ListParameters(msgspec.Struct, frozen=True):
    """The query string of `fetchContactBookings`."""

    external_id: Annotated[_QueryId, Meta(description="The contact, as your own system calls it.")]
    interaction_id: Annotated[_QueryId, Meta(description="Only bookings of this campaign.")] | None = None
    booking_id: Annotated[_QueryId, Meta(description="Only this booking.")] | None = None
    booking_status: Annotated[
        list[Literal["CONFIRMED", "WAITLISTED", "CHECKED_IN", "CANCELLED", "CANCELED"]],
        Meta(description="Only bookings in these statuses; repeat it, or separate several by commas."),
    ] = []
    starts_after: Annotated[_Time, Meta(description="Only slots that start later than this.")] | None = None
    starts_before: Annotated[_Time, Meta(description="Only slots that start earlier than this.")] | None = None
    page_size: Annotated[int, Meta(ge=1, le=200, description="Bookings on a page.")] = 50
    page_number: Annotated[
        int, Meta(ge=1, description="Pages count from 1.", extra_json_schema={"maximum": 10**18 - 1})
    ] = 1

    def query(self) -> ListQuery:
        """The same as the service takes it."""
        filters = ListFilters(
            interaction_id=self.interaction_id,
            booking_id=self.booking_id,
            statuses=tuple(sorted({STATUS_OF[status] for status in self.booking_status})),
            starts_after=_plain(self.starts_after),
            starts_before=_plain(self.starts_before),
        )
        return ListQuery(self.external_id, self.page_size, self.page_number, filters)


class CancelBody(msgspec.Struct, frozen=True):
    """The body of `cancelContactBooking`."""

    external_id: Annotated[_Id, Meta(description="The contact whose booking it is.")]
    booking_id: _Id
    reason: Annotated[str, Meta(max_length=fields.REASON_CHARACTERS, extra_json_schema=_TEXT_FORM)] | None = None

    def order(self) -> CancelOrder:
        """The same as the service takes it."""
        return CancelOrder(str(self.external_id), str(self.booking_id), self.reason)


class CreateBody(msgspec.Struct, frozen=True):
    """The body of `createContactBooking`."""

    external_id: Annotated[_Id, Meta(description="The contact who books.")]
    interaction_id: _Id
    event_id: _Id
    slot_id: Annotated[_Id, Meta(description="Unique in the tenant: one event at one time with one capacity.")]
    slot_start_date: _Time
    slot_end_date: _Time
    event_title: _Text | None = None
    event_location: _Text | None = None
    ticket_type: _Text | None = None
    slot_capacity: _Capacity | UnsetType | None = UNSET
    booking_id: Annotated[_Id, Meta(description="Made by us when left out.")] | None = None

    def order(self) -> CreateOrder:
        """The same as the service takes it. Raises RequestError when the slot ends before it starts."""
        if self.slot_end_date < self.slot_start_date:
            problem = FieldError("slot_end_date", "must not be before slot_start_date")
            raise RequestError(
                "parameter_invalid",
                "slot_end_date must not be before slot_start_date.",
                errors=[problem],
                check="parameters",
            )
        slot = Slot(
            slot_id=str(self.slot_id),
            interaction_id=str(self.interaction_id),
            event_id=str(self.event_id),
            slot_start_at=int(self.slot_start_date),
            slot_end_at=int(self.slot_end_date),
            capacity=None if self.slot_capacity is UNSET else self.slot_capacity,
            places_taken=0,
        )
        return CreateOrder(
            external_id=str(self.external_id),
            slot=slot,
            any_capacity=self.slot_capacity is UNSET,
            booking_id=_text(self.booking_id),
            event_title=_text(self.event_title),
            event_location=_text(self.event_location),
            ticket_type=_text(self.ticket_type),
        )


def _plain(moment: Moment | None) -> int | None:
    return None if moment is None else int(moment)


def _text(value: str | None) -> str | None:
    """Plain text: a subclass of `str` is no value that every driver takes."""
    return None if value is None else str(value)


LIST_READER = QueryReader(ListParameters, decode_value=_decode_of_query)
# What most lists ask for: a contact's first page, its id written so that there is nothing to decode.
_CONTACT_ALONE = re.compile(rb"external_id=([0-9A-Za-z._~:@-]{1,255})")


def read_list(query_string: bytes) -> ListQuery:
    """What a list asks for. Raises as `QueryReader.read` does, which the usual request is not made to pay for."""
    alone = _CONTACT_ALONE.fullmatch(query_string)
    if alone is not None:
        external_id = alone[1].decode("ascii")
        if not looks_like_credential(external_id):
            return ListQuery(external_id)
    return LIST_READER.read(query_string).query()


CANCEL_READER = JsonReader(CancelBody, decode_value=_decode_of_body)
CREATE_READER = JsonReader(CreateBody, decode_value=_decode_of_body)
