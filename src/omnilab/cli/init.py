"""`omnilab init`: makes an installation, or completes one; changes nothing where all is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import typer

from omnilab.cli.output import JsonFlag, answering, emit
from omnilab.cli.session import Asker, actor_of, log_to_stderr
from omnilab.installation import initialise, open_installation
from omnilab.settings import Settings, load_settings

app = typer.Typer()


@app.command("init")
def init(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Make the database, the keys and the rest of an installation. Safe to repeat.

    The environment is kept for good: another one needs a database of its own.
    """
    with answering(as_json):
        settings = load_settings(make_master_key=True)
        made, settings = asyncio.run(initialised(ctx, settings))
        emit(_document(settings, made), as_json=as_json, people=_people)


async def initialised(ctx: typer.Context, settings: Settings) -> tuple[Sequence[str], Settings]:
    """Make the installation these settings describe; returns what was made, in words, and the settings as kept."""
    log_to_stderr(settings)
    made = await initialise(settings, actor=actor_of(Asker.of(ctx), settings.environment))
    installation = await open_installation(settings)
    await installation.close()
    return made, installation.settings


def _document(settings: Settings, made: Sequence[str]) -> dict[str, Any]:
    return {
        "environment": settings.environment,
        "issuer": settings.public_url,
        "data_directory": str(settings.data_directory.absolute()),
        "made": list(made),
    }


def _people(document: dict[str, Any]) -> str:
    made = "".join(f"\n  {each}" for each in document["made"])
    what = f"Made:{made}" if made else "Everything was there already; nothing was changed."
    return f"{what}\nEnvironment {document['environment']}, issuer {document['issuer']}."
