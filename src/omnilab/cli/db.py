"""`omnilab db …`: the database as a whole: schema, copies, backups, and what a restored one needs before it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from omnilab.cli.output import REFUSED, JsonFlag, answering, emit, notice, progress, table
from omnilab.cli.session import Asker, actor_of, log_to_stderr
from omnilab.errors import ProvisioningError

if TYPE_CHECKING:
    from omnilab.installation import Installation
    from omnilab.recovery import Reconciliation
    from omnilab.settings import Settings

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True)
Document = dict[str, Any]
Yes = Annotated[bool, typer.Option("--yes", help="Really do it.")]


@app.callback()
def _db() -> None:
    """The database as a whole."""


@app.command("upgrade")
def upgrade(
    to: Annotated[str, typer.Option("--to", metavar="REVISION", help="Up to this one; default: the newest.")] = "head",
    as_json: JsonFlag = False,
) -> None:
    """Bring the schema to the one of this program. Nodes of the release before go on meanwhile, and can start again."""
    _migrate("upgrade", to, as_json=as_json)


@app.command("downgrade")
def downgrade(
    to: Annotated[str, typer.Option("--to", metavar="REVISION", help="Down to this one.")],
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Take migrations back. What only the newer schema can hold is lost: take a backup first, and stop the nodes."""
    with answering(as_json):
        if not yes:
            words = "This takes migrations back, with what only they can hold. Take a backup first, then add --yes."
            raise ProvisioningError("confirmation_missing", words)
    _migrate("downgrade", to, as_json=as_json)


def _migrate(verb: str, to: str, *, as_json: bool) -> None:
    from omnilab.storage import schema
    from omnilab.storage.inspecting import stand

    with answering(as_json):
        url = _settings().database_url
        before = asyncio.run(stand(url)).revision if _is_there(url) else None
        try:
            (schema.upgrade if verb == "upgrade" else schema.downgrade)(url, to)
        except schema.SchemaError as error:
            raise ProvisioningError("revision_unknown", f"{str(error)[0].upper()}{str(error)[1:]}.") from error
        emit({"from": before, "to": asyncio.run(stand(url)).revision}, as_json=as_json)


@app.command("status")
def status(as_json: JsonFlag = False) -> None:
    """Show engine, schema, pending migrations, size and rows (PostgreSQL's own estimates, where it has made them)."""
    from omnilab.storage.inspecting import stand

    async def action(url: str) -> Document:
        return (await stand(url)).document()

    _over_url(action, as_json=as_json)


@app.command("check")
def check(as_json: JsonFlag = False) -> None:
    """Prove that schema, references, places and sealed keys fit each other; exit code 1 and the place if they do not.

    The chains of the audit are proved by omnilab audit verify.
    """
    from omnilab.recovery.checking import check_database

    async def action(installed: Installation) -> Document:
        findings = await check_database(installed)
        return {"intact": not findings, "findings": findings}

    _over_installation(action, as_json=as_json, people=_findings_text, failed=lambda found: not found["intact"])


def _findings_text(found: Document) -> str:
    if found["intact"]:
        return "Schema, references, places and sealed keys fit each other."
    lines = []
    for each in found["findings"]:
        more = f" and {each['more']} more" if each["more"] else ""
        lines.append(f"{each['check']}: {', '.join(each['what'])}{more}\n  {each['fix']}")
    return "\n".join(lines)


@app.command("copy")
def copy(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="The database that has the installation.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="An empty database.")],
    as_json: JsonFlag = False,
) -> None:
    """Copy an installation to another database, of either engine, and prove that nothing differs.

    Stop what uses the source first. Everything goes along: credentials, keys, tokens that were issued, bookings, audit
    chains. The target gets all of it or nothing. Passwords are better given in PGPASSWORD or ~/.pgpass than in a URL.
    """
    from omnilab.settings.values import database_url
    from omnilab.storage.copying import copy_database

    async def action() -> Document:
        urls = {"--from": source, "--to": target}
        for name, url in urls.items():
            try:
                database_url(url)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint=name) from None
        if source == target:
            raise typer.BadParameter("the source and the target are the same database", param_hint="--to")
        _refuse_missing(source)
        with progress("Copying") as advance:
            return _tables_document(await copy_database(source, target, advance=advance))

    with answering(as_json):
        log_to_stderr(_settings())
        emit(asyncio.run(action()), as_json=as_json, people=_tables_text)


def _tables_document(copied: list[Any]) -> Document:
    tables = [{"table": each.table, "rows": each.rows, "sha256": each.digest} for each in copied]
    return {"identical": True, "rows": sum(each.rows for each in copied), "tables": tables}


def _tables_text(done: Document) -> str:
    rows = [[each["table"], each["rows"], each["sha256"][:16]] for each in done["tables"]]
    return table(("table", "rows", "sha256"), rows) + f"\nIdentical: {done['rows']} rows, read back and compared."


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    as_json: JsonFlag = False,
) -> None:
    """Write everything as it is at this moment to one file, verified, while the service runs.

    The file holds every key sealed and never the master key: keep that elsewhere, for without it the backup opens
    nothing. Keep audit exports (omnilab audit export) elsewhere too: a restored database needs one that is newer.
    """
    from omnilab.clock import SystemClock
    from omnilab.storage.backups import back_up
    from omnilab.tenancy.model.moments import rfc3339

    async def action(url: str) -> Document:
        with progress("Backing up") as advance:
            made = await back_up(url, file, now_ms=SystemClock().now_ms(), advance=advance)
        return {"file": str(file), "taken_at": rfc3339(made.taken_at), **_tables_document(made.tables)}

    _over_url(action, as_json=as_json, people=lambda done: f"{_tables_text(done)}\nWritten: {done['file']}")


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What omnilab db backup wrote.")],
    as_json: JsonFlag = False,
) -> None:
    """Put a backup into the database of OMNILAB_DATABASE_URL, which must be empty.

    What was revoked since the backup would come to life again, so nothing serves the restored database before
    omnilab db reconcile.
    """
    from omnilab.clock import SystemClock
    from omnilab.storage.backups import restore as put_back
    from omnilab.tenancy.model.moments import rfc3339

    async def action(url: str) -> Document:
        with progress("Restoring") as advance:
            found = await put_back(file, url, now_ms=SystemClock().now_ms(), advance=advance)
        shown = _tables_document(found.tables)
        return {"taken_at": rfc3339(found.taken_at), "awaits_reconcile": True, **shown}

    _over_url(action, as_json=as_json, people=_tables_text, must_exist=False)
    notice("Not served yet: run omnilab db reconcile --export FILE, or --revoke-all-since TIME.")


@app.command("mark-restored")
def mark_restored(
    ctx: typer.Context,
    taken_at: Annotated[str, typer.Option("--taken-at", metavar="TIME", help="The moment it shows, RFC 3339.")],
    as_json: JsonFlag = False,
) -> None:
    """Say that the database was restored by other means (a snapshot of the disk, point-in-time recovery)."""
    at_ms = _moment(taken_at, "--taken-at")

    async def action(installed: Installation) -> Document:
        return await _reconciliation(ctx, installed).mark(at_ms)

    _over_installation(action, as_json=as_json)


@app.command("reconcile")
def reconcile(
    ctx: typer.Context,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="The newest audit export kept elsewhere.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--revoke-all-since", metavar="TIME", help="Revoke all that lived then: RFC 3339, the backup's time."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take back again what was taken back since the backup; then the restored database may be served.

    With --export: secrets revoked, clients and tenants switched off or deleted, grants and entitlements withdrawn,
    tokens ended, links opened, bookings cancelled and contacts erased are so again, each under its own record. What
    was made since the backup is lost and counted. Both can be repeated, also after an interruption.

    With --revoke-all-since, where no export is at hand: every secret, token and link that lived at that time is
    revoked, and every client needs a new secret (omnilab secrets add --hand-off).
    """
    if (export is None) == (since is None):
        raise typer.BadParameter("Give one of --export and --revoke-all-since.")

    async def action(installed: Installation) -> Document:
        reconciliation = _reconciliation(ctx, installed)
        with progress("Reconciling") as advance:
            if export is not None:
                return await reconciliation.from_export(export, advance=advance)
            return await reconciliation.revoke_all(_moment(str(since), "--revoke-all-since"), advance=advance)

    _over_installation(action, as_json=as_json)


def _reconciliation(ctx: typer.Context, installed: Installation) -> Reconciliation:
    from omnilab.recovery import Reconciliation

    return Reconciliation(installed, actor_of(Asker.of(ctx), installed.settings.environment))


def _moment(text: str, option: str) -> int:
    from omnilab.tenancy.model.moments import moment_ms
    from omnilab.tenancy.model.rules import RuleError

    try:
        return moment_ms(text)
    except RuleError as error:
        raise typer.BadParameter(error.detail, param_hint=option) from None


def _settings() -> Settings:
    import omnilab.installation  # noqa: F401 - brings every table of the schema
    from omnilab.settings import load_settings

    return load_settings()


def _is_there(url: str) -> bool:
    from omnilab.storage.opening import missing_file

    return missing_file(url) is None


def _refuse_missing(url: str) -> None:
    if not _is_there(url):
        raise ProvisioningError("not_initialised", "There is no such database file: name the one of an installation.")


def _over_url(
    action: Callable[[str], Awaitable[Document]],
    *,
    as_json: bool,
    people: Callable[[Document], str] | None = None,
    must_exist: bool = True,
) -> None:
    """Do something with the database of the settings, opened as an installation or not."""
    with answering(as_json):
        settings = _settings()
        log_to_stderr(settings)
        if must_exist:
            _refuse_missing(settings.database_url)
        emit(asyncio.run(_awaited(action(settings.database_url))), as_json=as_json, people=people)


def _over_installation(
    action: Callable[[Installation], Awaitable[Document]],
    *,
    as_json: bool,
    people: Callable[[Document], str] | None = None,
    failed: Callable[[Document], bool] = lambda _: False,
) -> None:
    """Do something with the opened installation, also one that is not reconciled yet."""
    from omnilab.installation import open_installation

    async def act(settings: Settings) -> Document:
        installed = await open_installation(settings, restored=True)
        try:
            return await action(installed)
        finally:
            await installed.close()

    with answering(as_json):
        settings = _settings()
        log_to_stderr(settings)
        done = asyncio.run(act(settings))
        emit(done, as_json=as_json, people=people)
        if failed(done):
            raise typer.Exit(REFUSED)


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
