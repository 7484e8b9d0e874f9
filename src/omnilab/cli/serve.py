"""`omnilab serve`: hands over to `python -m omnilab.serving`, a process that never loaded the command line.

Plainly asked for, it never comes here: `entry.py` begins to serve at once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from omnilab.cli.output import JsonFlag

app = typer.Typer()

Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on (0: any free one).")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=64, help="Processes that answer; about one a core.")]


@app.command("serve")
def serve(host: Host = "127.0.0.1", port: Port = 8080, workers: Workers = 1, as_json: JsonFlag = False) -> None:
    """Serve the platform over HTTP until SIGTERM or Ctrl-C; running requests are finished first.

    With --json one document says where, once every worker answers. Exit code 3: the port is taken.
    """
    become_server(host, port, workers, as_json=as_json)


def become_server(host: str, port: int, workers: int, *, as_json: bool) -> NoReturn:
    """Replace this process: workers forked from it must not carry the command line's libraries."""
    words = [sys.executable, "-P", "-m", "omnilab.serving"]
    words += ["--host", host, "--port", str(port), "--workers", str(workers)]
    if as_json:
        words.append("--json")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, words)  # noqa: S606 - no shell: the words go as they are
