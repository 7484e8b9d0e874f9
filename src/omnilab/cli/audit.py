"""`omnilab audit …`: why a request was answered as it was, what goes wrong for a tenant, and whether records hold.

Reads only, but for `retain`; nothing else is written, not even a record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from omnilab.audit.model import AuditRecord, Outcome, is_request_id, present, rfc3339
from omnilab.audit.model.edge import EdgeAnswer, read_edge_id
from omnilab.audit.model.events import SEVERITIES, Severity
from omnilab.audit.service import RecordQuery
from omnilab.cli.audit_text import (
    causes_text,
    decision_text,
    edge_text,
    events_text,
    examination_text,
    export_text,
    records_text,
    verification_text,
)
from omnilab.cli.output import REFUSED, JsonFlag, answering, emit, progress, run
from omnilab.cli.session import Session
from omnilab.errors import ProvisioningError

app = typer.Typer(no_args_is_help=True)
Document = Mapping[str, Any]

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Since = Annotated[str, typer.Option("--since", help="RFC 3339, or so long ago: 15m (units s m h d).")]
NewFile = Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")]
Tenant = Annotated[str, typer.Option("--tenant", metavar="KEY", help="The tenant's key.")]


@app.command("show")
def show(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The X-Request-Id of the answer.")],
    as_json: JsonFlag = False,
) -> None:
    """Show the decision on one request: each check, what was expected, what came, and what to do."""
    wanted = request_id.strip().lower()
    edge = read_edge_id(wanted)
    if edge is not None:
        run(ctx, partial(_of_edge, wanted, edge), as_json=as_json, people=edge_text, restored=True)
        return
    if not is_request_id(wanted):
        raise typer.BadParameter("a request id is a UUIDv7, such as 0190b5e4-8c1a-7d3f-9a2b-3c4d5e6f7a8b")

    async def action(session: Session) -> Document:
        records = await session.platform.audit.find(wanted)
        if not records:
            raise ProvisioningError(
                "request_unknown",
                f"There is no record of the request {wanted}. Reads are recorded within a second; a failed"
                " authentication beyond its limit stands only in the summary of its minute; answers outside /v1/"
                " leave none.",
            )
        document = _records(records)
        # The decision itself stands on top, where a program asks for its code; `records` has all that it left.
        decision = next((each for each in document["records"] if each["outcome"] == "refused"), document["records"][0])
        return {**decision, **document}

    run(ctx, action, as_json=as_json, people=decision_text, restored=True)


async def _of_edge(wanted: str, edge: EdgeAnswer, session: Session) -> Document:
    """What is known of a request that the proxy answered: it never reached us, or here is what it left."""
    records: list[AuditRecord] = []
    if edge.caller_request_id is not None:
        records = await session.platform.audit.find_by_caller(edge.caller_request_id, near_ms=edge.at_ms)
    return {
        "request_id": wanted,
        "occurred_at": rfc3339(edge.at_ms),
        "answered_by": "proxy",
        "status": edge.status,
        "reached_us": bool(records),
        "meaning": edge.meaning,
        "fix": edge.fix,
        **_records(records),
    }


@app.command("explain")
def explain(ctx: typer.Context, tenant: Tenant, since: Since = "24h", as_json: JsonFlag = False) -> None:
    """Group a tenant's refusals by cause, each with the fix and a reply ready to send."""
    check = _since(since)

    async def action(session: Session) -> Document:
        since_ms = check(session.platform.clock.now_ms())
        causes = await session.platform.audit.explain(tenant, since_ms)
        return {"tenant": tenant, "since": rfc3339(since_ms), "causes": causes}

    run(ctx, action, as_json=as_json, people=causes_text)


@app.command("list")
def list_records(
    ctx: typer.Context,
    *,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="KEY", help="Only this tenant's.")] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="CLIENT_ID", help="Only this client's.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="RFC 3339, or so long ago: 15m.")] = None,
    outcome: Annotated[Outcome | None, typer.Option("--outcome", help="Only these.")] = None,
    events: Annotated[bool, typer.Option("--events", help="Only security events: tripwires touched.")] = False,
    severity: Annotated[Severity | None, typer.Option("--severity", help="Only events so severe, or more.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
    as_json: JsonFlag = False,
) -> None:
    """List decisions, newest first."""
    check = _since(since) if since is not None else lambda _: 0
    least = severity or (SEVERITIES[0] if events else None)

    async def action(session: Session) -> Document:
        query = RecordQuery(
            tenant=tenant,
            client_id=client,
            since_ms=check(session.platform.clock.now_ms()),
            outcome=outcome,
            severity=least,
            limit=limit,
        )
        return _records(await session.platform.audit.list_records(query))

    run(ctx, action, as_json=as_json, people=records_text if least is None else events_text, restored=True)


@app.command("verify")
def verify(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Prove that no record was changed, removed, reordered or put in; exit code 1 and the place if one was."""

    async def action(session: Session) -> Document:
        audit = session.platform.audit
        with progress("Walking the chains", await audit.count_records()) as advance:
            return (await audit.verify(advance=advance)).document()

    run(
        ctx,
        action,
        as_json=as_json,
        people=verification_text,
        failed=lambda document: not document["intact"],
        restored=True,
    )


@app.command("export")
def export(ctx: typer.Context, file: NewFile, as_json: JsonFlag = False) -> None:
    """Write all records as signed JSON lines, for an auditor or for keeping elsewhere; exit code 1 if they do not hold.

    What was lost after the last export kept outside the database cannot be told: export often, and keep it elsewhere.
    """

    async def action(session: Session) -> Document:
        audit, settings = session.platform.audit, session.platform.settings
        about = {"environment": settings.environment, "issuer": settings.public_url}
        with progress("Exporting", await audit.count_records()) as advance:
            found = await audit.export(file, about, advance=advance)
        return {"file": str(file), "public_key": audit.public_key, **found.document()}

    run(ctx, action, as_json=as_json, people=export_text, failed=lambda document: not document["intact"])


@app.command("public-key")
def public_key(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Print the key that checks this installation's exports; give it to the auditor by another way than the export."""

    async def action(session: Session) -> Document:
        return {"public_key": session.platform.audit.public_key, "algorithm": "Ed25519"}

    run(ctx, action, as_json=as_json, people=lambda document: str(document["public_key"]))


@app.command("verify-export")
def verify_export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What audit export wrote.")],
    *,
    key: Annotated[str, typer.Option("--public-key", metavar="KEY", help="What audit public-key printed.")],
    earlier: Annotated[
        Path | None,
        typer.Option("--earlier", metavar="FILE", help="An export kept from before: nothing it saw may be gone."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check an export without a database and without any secret; exit code 1 and the place if it does not hold."""
    from omnilab.audit.service.export import examination_document, examine_file

    with answering(as_json):
        document = examination_document(examine_file(file, key, earlier=earlier))
        emit(document, as_json=as_json, people=examination_text)
        if not document["intact"]:
            raise typer.Exit(REFUSED)


@app.command("retain")
def retain(
    ctx: typer.Context,
    older_than: Annotated[str, typer.Option("--older-than", help="Let go of what is older: 400d (units h d).")],
    as_json: JsonFlag = False,
) -> None:
    """Remove old records for good; what stays can still be verified. OMNILAB_AUDIT_RETENTION_DAYS does it by itself."""
    age = _AGO.fullmatch(older_than)
    if age is None or timedelta(**{_UNITS[age[2]]: int(age[1])}) < timedelta(days=1):
        raise typer.BadParameter(f"--older-than takes an age of a day or more, such as 400d, not {older_than!r}")

    async def action(session: Session) -> Document:
        before_ms = _since(older_than)(session.platform.clock.now_ms())
        actor = session.actor
        with progress("Letting go") as advance:
            done = await session.platform.audit.retain(before_ms, actor=actor, advance=advance)
        return {"before": rfc3339(before_ms), "removed": done.removed, "chains_cut": done.chains_cut}

    run(ctx, action, as_json=as_json)


def _records(records: list[AuditRecord]) -> Document:
    return {"records": [present(record) for record in records]}


def _since(text: str) -> Callable[[int], int]:
    """What turns the present (ms) into the time asked for; raises typer.BadParameter at once."""
    if ago := _AGO.fullmatch(text):
        length = timedelta(**{_UNITS[ago[2]]: int(ago[1])}) // timedelta(milliseconds=1)
        return lambda now_ms: max(now_ms - length, 0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"--since takes RFC 3339 with an offset (2026-12-01T10:00:00Z) or 15m, not {text!r}")
    at_ms = max((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1), 0)
    return lambda _: at_ms
