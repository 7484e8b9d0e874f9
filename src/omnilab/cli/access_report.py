"""`omnilab access-report`: what a review of access asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from omnilab.cli.output import JsonFlag, progress, run, table
from omnilab.cli.session import Session

app = typer.Typer()


@app.command()
def access_report(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="KEY", help="Only this tenant's.")] = None,
    unused_days: Annotated[int, typer.Option("--unused-days", min=1, help="Unused for so long is named.")] = 90,
    as_json: JsonFlag = False,
) -> None:
    """Who holds what, last used when, and what nobody has used for 90 days."""

    async def action(session: Session) -> dict[str, Any]:
        reports = session.platform.tenancy.reports
        with progress("Reading") as advance:
            return await reports.access(tenant=tenant, unused_days=unused_days, advance=advance)

    run(ctx, action, as_json=as_json, people=_in_words)


def _in_words(document: dict[str, Any]) -> str:
    names = ("tenant", "client", "name", "status", "allowed", "last used", "living secrets", "unused")
    rows: list[Sequence[object]] = []
    for each in document["clients"]:
        idle = [secret["secret_id"] for secret in each["secrets"] if secret["unused"]]
        unused = "client" if each["unused"] else ", ".join(idle)
        whole = [each[name] for name in ("tenant", "client_id", "name", "status", "allowed", "last_used_at")]
        rows.append([*whole, len(each["secrets"]), unused or None])
    count, days = document["unused_clients"], document["unused_days"]
    return f"{table(names, rows, empty='No clients.')}\n\n{count} of {len(rows)} clients unused for {days} days."
