"""`omnilab api …`: the calls of the API with the integrator's own credentials, through the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnilab.cli.integrator import AllowHttp, Audience, BaseUrl, ClientId, Place, SecretFile, calling
from omnilab.cli.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from omnilab.client import Filters

app = typer.Typer(no_args_is_help=True)

_COLUMNS = ("booking_id", "booking_status", "slot_start_date", "event_title", "interaction_id")
Contact = Annotated[str, typer.Argument(metavar="EXTERNAL_ID", help="The contact, as your own system calls it.")]


@app.command("list-bookings")
def list_bookings(
    external_id: Contact,
    status: Annotated[list[str] | None, typer.Option("--status", help="CONFIRMED and the like; may repeat.")] = None,
    interaction_id: Annotated[str | None, typer.Option("--interaction-id", help="Only of this campaign.")] = None,
    booking_id: Annotated[str | None, typer.Option("--booking-id", help="Only this one.")] = None,
    starts_after: Annotated[str | None, typer.Option("--starts-after", metavar="TIME", help="RFC 3339.")] = None,
    starts_before: Annotated[str | None, typer.Option("--starts-before", metavar="TIME", help="RFC 3339.")] = None,
    client_id: ClientId = None,
    secret_file: SecretFile = None,
    audience: Audience = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    as_json: JsonFlag = False,
) -> None:
    """List all bookings of a contact, as your program would get them (fetchContactBookings)."""
    given = {
        "booking_status": status,
        "interaction_id": interaction_id,
        "booking_id": booking_id,
        "starts_after": starts_after,
        "starts_before": starts_before,
    }
    filters: Filters = {name: value for name, value in given.items() if value}  # type: ignore[assignment]
    with calling(Place(client_id, secret_file, audience, base_url, allow_http), as_json=as_json) as client:
        found = list(client.bookings.list(external_id, **filters))
    emit({"bookings": found, "total_count": len(found)}, as_json=as_json, people=_show_bookings)


@app.command("cancel-booking")
def cancel_booking(
    external_id: Contact,
    booking_id: Annotated[str, typer.Argument(metavar="BOOKING_ID", help="The booking's id.")],
    reason: Annotated[str | None, typer.Option("--reason", help="Kept with the booking.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Repeat an earlier cancel safely: the key it named.")
    ] = None,
    client_id: ClientId = None,
    secret_file: SecretFile = None,
    audience: Audience = None,
    base_url: BaseUrl = None,
    allow_http: AllowHttp = False,
    as_json: JsonFlag = False,
) -> None:
    """Cancel one booking of a contact (cancelContactBooking). Always sent with an idempotency key."""
    with calling(Place(client_id, secret_file, audience, base_url, allow_http), as_json=as_json) as client:
        done = client.bookings.cancel(external_id, booking_id, reason=reason, idempotency_key=idempotency_key)
    emit(done, as_json=as_json)


def _show_bookings(answer: dict[str, Any]) -> str:
    rows = [[getattr(booking, name) for name in _COLUMNS] for booking in answer["bookings"]]
    return table(_COLUMNS, rows, empty="The contact has no bookings that match.")
