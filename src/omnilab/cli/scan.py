"""`omnilab scan`: client secrets that leaked into files, archives, logs or git history. Offline, and for CI.

Exit code 0: nothing found; 1: a secret was found; 3: nothing found, but not everything could be read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from omnilab.cli.output import REFUSED, UNAVAILABLE, JsonFlag, answering, emit, progress
from omnilab.cli.session import open_session
from omnilab.clock import SystemClock
from omnilab.errors import ProvisioningError

if TYPE_CHECKING:
    from omnilab.scan.report import Owner, Report

app = typer.Typer()


@app.command()
def scan(
    ctx: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files and directories; - is standard input.")],
    *,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Write SARIF 2.1.0 as well.")] = None,
    history: Annotated[bool, typer.Option("--history/--no-history", help="Read git history too.")] = True,
    identify: Annotated[
        bool, typer.Option("--identify", help="Ask this installation's database whose secrets they are.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find OmniLab client secrets by prefix and checksum. Exit code 1 if there is one, 3 if not all could be read.

    Never prints a secret: place, environment, first characters, and with --identify the secret's id.
    """
    with answering(as_json):
        clock = SystemClock()
        started = clock.monotonic()
        report = _scanned(paths, history=history)
        if identify and report.findings:
            owners = _owners(ctx, sorted({finding.hit.text for finding in report.findings}))
            report.findings = [finding.owned(owners) for finding in report.findings]
        document = report.document(clock.monotonic() - started)
        if sarif is not None:
            _write_sarif(sarif, report)
        emit(document, as_json=as_json, people=_in_words)
        if report.findings or report.skipped:
            raise typer.Exit(REFUSED if report.findings else UNAVAILABLE)


def _scanned(paths: list[Path], *, history: bool) -> Report:
    from omnilab.scan.tree import Scan

    with progress("Scanning (bytes)") as advance:
        scanning = Scan(advance, history=history)
        for path in paths:
            if str(path) == "-":
                scanning.scan_stream(sys.stdin.buffer, "standard input")
            elif path.exists():
                scanning.scan(path)
            else:
                raise ProvisioningError("path_unknown", f"There is no file or directory {path}.")
        return scanning.report


def _owners(ctx: typer.Context, texts: list[str]) -> dict[str, Owner]:
    import asyncio

    from omnilab.scan.report import Owner

    async def ask() -> dict[str, Owner]:
        async with open_session(ctx) as session:
            found = await session.platform.tenancy.secrets.identify(texts)
            return {text: Owner(**owner) for text, owner in found.items()}

    return asyncio.run(ask())


def _write_sarif(path: Path, report: Report) -> None:
    from importlib.metadata import version

    from omnilab.scan.report import sarif_document

    text = msgspec.json.format(msgspec.json.encode(sarif_document(report, version("omnilab"))), indent=2)
    try:
        path.write_bytes(text + b"\n")
    except OSError as error:
        raise ProvisioningError("file_not_written", f"{path} cannot be written: {error.strerror}.") from error


def _in_words(document: dict[str, Any]) -> str:
    lines = [_line(each) for each in document["findings"]]
    lines += [f"not read: {each['path']}: {each['reason']}" for each in document["skipped"]]
    objects = f" and {document['git_objects']} git objects" if document["git_objects"] else ""
    found = document["secrets"]
    secrets = "No secret" if not found else "1 secret" if found == 1 else f"{found} secrets"
    where = f" at {len(document['findings'])} places" if found else ""
    size = f"{document['bytes'] / 1e6:,.1f} MB in {document['files']} files{objects}"
    lines.append(f"{secrets}{where}. Read {size}, {document['seconds']:.1f} s.")
    if found:
        lines.append("Revoke each (omnilab secrets revoke); a secret that was once in git history is known.")
    return "\n".join(lines)


def _line(each: dict[str, Any]) -> str:
    place = each["path"] + (f"!{each['member']}" if each["member"] else "")
    place += f":{each['line']}:{each['column']}" if each["line"] else " (its name)"
    git = f" (git object {each['git_object'][:12]}" if each["git_object"] else ""
    git += f", commit {each['commit'][:12]})" if git and each["commit"] else ")" if git else ""
    encoding = "" if each["encoding"] == "plain" else f" in {each['encoding']}"
    owner = f"  {each['tenant']} {each['client_id']} {each['secret_id']} {each['status']}" if each["secret_id"] else ""
    return f"{place}{git}: {each['secret']} ({each['environment']}{encoding}){owner}"
