"""Who issues tokens in this run: ours, the floors below it, and the peers beside it; each alone on core 0."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.data import BUILD, Installation, request_line
from bench.machine import SERVER_CORE, Program, free_port, running

HERE = Path(__file__).resolve().parent
PEER_BIN = BUILD / "peers/bin"
CLIENTS = 100
PEERS = ("oidc-provider", "Authlib + Flask", "django-oauth-toolkit")
_PEER_DATA = BUILD / "data-peers"
_SECRET = "secret-of-client-{}-0123456789abcdefghijklmnopqrstuvwxyz"
_FORM = "application/x-www-form-urlencoded"


def peer_environ() -> dict[str, str]:
    return os.environ | {"BENCH_DIRECTORY": str(_PEER_DATA), "BENCH_CLIENTS": str(CLIENTS)}


def prepare_peers() -> Path:
    """The peers' databases with their clients; the file of requests to them."""
    _PEER_DATA.mkdir(parents=True, exist_ok=True)
    if not (_PEER_DATA / "django.db").exists():
        words = [PEER_BIN / "python", HERE / "peers/django_toolkit/server.py"]
        subprocess.run(words, env=peer_environ(), check=True, capture_output=True)
    bodies = (
        f"grant_type=client_credentials&client_id=client-{n}&client_secret={_SECRET.format(n)}" for n in range(CLIENTS)
    )
    path = _PEER_DATA / "tokens.txt"
    path.write_text("".join(request_line("POST", "/token", kind=_FORM, body=body) + "\n" for body in bodies))
    return path


@contextmanager
def peer(name: str) -> Iterator[Program]:
    """Run a peer until the block ends."""
    port = free_port()
    gunicorn: list[str | Path] = [
        PEER_BIN / "gunicorn",
        "--log-level",
        "error",
        "-b",
        f"127.0.0.1:{port}",
        "server:app",
        "--chdir",
    ]
    words: dict[str, list[str | Path]] = {
        "oidc-provider": ["node", BUILD / "oidc-provider/server.mjs", str(port), str(CLIENTS)],
        "Authlib + Flask": [*gunicorn, HERE / "peers/flask_authlib"],
        "django-oauth-toolkit": [*gunicorn, HERE / "peers/django_toolkit"],
    }
    log = _PEER_DATA / f"{name.split(maxsplit=1)[0]}.log"
    with running(words[name], port, env=peer_environ(), log=log) as program:
        yield program


@contextmanager
def ours(made: Installation, *, workers: int = 1, cores: str = SERVER_CORE) -> Iterator[Program]:
    """Run our service on an installation until the block ends."""
    port = free_port()
    with running(made.serve(port, workers), port, env=made.environ, log=made.folder / "log", cores=cores) as program:
        yield program


@contextmanager
def floor(script: str, *words: str, made: Installation) -> Iterator[Program]:
    """Run a script of bench/floors until the block ends; its first word is the port."""
    port = free_port()
    line: list[str | Path] = [sys.executable, HERE / "floors" / script, str(port), *words]
    env = made.environ | {"PYTHONPATH": str(HERE.parent)}
    with running(line, port, env=env, log=made.folder / "log") as program:
        yield program
