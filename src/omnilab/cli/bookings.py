"""`omnilab bookings …`: import a file of bookings, list one contact's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from omnilab.cli.output import JsonFlag, progress, run, table

if TYPE_CHECKING:
    from omnilab.bookings.service import FileRow, ImportFile, ImportResult, Rejected
    from omnilab.cli.session import Session

app = typer.Typer(no_args_is_help=True, help="Import bookings and look at a contact's.")

_TENANT = typer.Option("--tenant", help="The tenant's key.", metavar="KEY")
_RAW_CHARACTERS = 2000


@app.command("import")
def import_bookings(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, gzip too.", metavar="FILE")],
    tenant: Annotated[str, _TENANT],
    as_json: JsonFlag = False,
) -> None:
    """Import bookings; bad rows go to FILE.rejected.jsonl and make the exit code 1, the good ones are kept."""

    async def action(session: Session) -> dict[str, Any]:
        return await import_file(session, file, tenant)

    run(ctx, action, as_json=as_json, people=_in_words, failed=lambda result: result["rejected"] > 0)


@app.command("list")
def list_bookings(
    ctx: typer.Context,
    tenant: Annotated[str, _TENANT],
    external_id: Annotated[str, typer.Option("--external-id", help="The contact, as the tenant calls it.")],
    page_size: Annotated[int, typer.Option("--page-size", min=1, max=200)] = 50,
    page_number: Annotated[int, typer.Option("--page-number", min=1)] = 1,
    as_json: JsonFlag = False,
) -> None:
    """List one contact's bookings by the start of their slot."""

    async def action(session: Session) -> dict[str, Any]:
        from omnilab.bookings.model.booking import ListQuery
        from omnilab.bookings.routes.answers import bookings_page

        tenant_id = await session.platform.tenancy.tenants.get_id(tenant)
        query = ListQuery(external_id, page_size, page_number)
        rows, total = await session.platform.bookings.list_bookings(tenant_id, query)
        page: dict[str, Any] = msgspec.to_builtins(
            bookings_page(rows, total, page_number=page_number, page_size=page_size)
        )
        return page

    run(ctx, action, as_json=as_json, people=_as_table)


async def import_file(session: Session, file: Path, tenant: str) -> dict[str, Any]:
    """Import a file into a tenant. Returns `imported`, `skipped`, `rejected` and `rejected_file` (or None).

    Raises ProvisioningError for an unknown tenant, a file that cannot be read or a header that does not fit, and
    UnavailableError; rows imported before stay, and importing the file again skips them.
    """
    from omnilab.bookings.service import ImportFile, ImportTarget

    platform = session.platform
    target = ImportTarget(await platform.tenancy.tenants.get_id(tenant), tenant, session.actor, file.name)
    with ImportFile(file) as source, _reject_file(file) as (rejected_file, reject):
        rows = _with_progress(source, f"Importing {file.name}")
        result: ImportResult = await platform.importer.run(target, rows, reject=reject)
    return {
        "imported": result.imported,
        "skipped": result.skipped,
        "rejected": result.rejected,
        "rejected_file": str(rejected_file) if result.rejected else None,
    }


def _with_progress(source: ImportFile, label: str) -> Iterator[FileRow]:
    """The file's rows, with a bar on a terminal that follows how much of the file has been read."""
    with progress(label, source.size_bytes) as advance:
        shown = 0
        for number, row in enumerate(source.rows()):
            if number % 100 == 0:
                read = source.read_bytes
                advance(read - shown)
                shown = read
            yield row


@contextmanager
def _reject_file(file: Path) -> Iterator[tuple[Path, Callable[[Rejected], None]]]:
    """Where refused rows go; the file is made with the first of them, and one of an earlier run is removed."""
    path = file.with_name(file.name + ".rejected.jsonl")
    path.unlink(missing_ok=True)
    opened: list[IO[bytes]] = []

    def reject(rejected: Rejected) -> None:
        if not opened:
            # Rows hold contacts' ids: for the operator's eyes only.
            descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            opened.append(os.fdopen(descriptor, "wb"))
        line = {"line": rejected.line, "reason": rejected.reason, "row": _masked(rejected.row)}
        opened[0].write(msgspec.json.encode(line) + b"\n")

    try:
        yield path, reject
    finally:
        for each in opened:
            each.close()


def _masked(value: Any) -> Any:
    """A refused row as it may be written: a credential in the wrong column is no reason to keep a copy of it."""
    from omnilab.telemetry.redaction import excerpt, mask

    if isinstance(value, str):
        return excerpt(value, _RAW_CHARACTERS)
    if isinstance(value, dict):
        return {mask(str(name)): _masked(each) for name, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list) else value


def _in_words(result: dict[str, Any]) -> str:
    words = f"{result['imported']:,} bookings imported, {result['skipped']:,} were there already."
    if result["rejected"]:
        words += f"\n{result['rejected']:,} rows rejected; they are in {result['rejected_file']} with their reasons."
    return words


def _as_table(page: dict[str, Any]) -> str:
    columns = ("booking_id", "booking_status", "slot_start_date", "event_title", "interaction_id", "slot_id")
    shown = table(columns, [[booking[name] for name in columns] for booking in page["bookings"]], empty="No bookings.")
    if page["total_count"] > len(page["bookings"]):
        shown += f"\nPage {page['page_number']}; {page['total_count']:,} bookings in all."
    return shown
