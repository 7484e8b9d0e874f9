"""`omnilab keys …`: the signing keys, and moving on to the next ones."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from omnilab.cli.output import JsonFlag, notice, run, table
from omnilab.cli.session import Session

app = typer.Typer(no_args_is_help=True)

_HEADINGS = ("key_id", "algorithm", "status", "created_at", "activated_at", "retired_at")


@app.command("list")
def list_keys(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """List the signing keys: next (published, not yet used), current (signs), retired (verifies only)."""

    async def action(session: Session) -> dict[str, Any]:
        return {"keys": await session.platform.keys.list_documents()}

    run(ctx, action, as_json=as_json, people=_show)


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    now: Annotated[
        bool,
        typer.Option("--now", help="Do not wait until verifiers surely know the next keys; some may refuse tokens."),
    ] = False,
    revoke_old: Annotated[
        bool, typer.Option("--revoke-old", help="A private key leaked: no token that an older key signed counts now.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Sign with the next keys from now on, and publish new next ones. The service does it by itself every 90 days.

    Refused while the next keys are younger than verifiers may hold the JWKS (300 s). The old keys verify until their
    last token has expired, so no token is lost.

    In an emergency `--now --revoke-old`: every token issued before is refused within a second, and clients get new
    ones. Where the next keys may have leaked too (they lie in the same place), run it twice. Other APIs, which verify
    with JWKS alone, refuse old tokens once they have read the JWKS again (300 s).
    """
    if revoke_old and not now:
        raise typer.BadParameter("--revoke-old is for emergencies: it goes with --now.", param_hint="--revoke-old")

    async def action(session: Session) -> dict[str, Any]:
        await session.platform.keys.rotate(actor=session.actor, at_once=now, revoke_old=revoke_old)
        return {"keys": await session.platform.keys.list_documents()}

    run(ctx, action, as_json=as_json, people=_show)
    if now:
        notice("Rotated at once: verifiers that hold an older JWKS may refuse new tokens for up to 300 seconds.")


@app.command("reseal")
def reseal(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Seal everything under a new master key, while the service runs. Secrets, tokens and audit chains live on.

    With the key in a file (OMNILAB_MASTER_KEY_FILE, or development's master.key), no restart is needed:

    1. Put the new key (openssl rand -base64 32) on a line of its own above the old one, on every node.

    2. Run this command. Running processes read the file again by themselves.

    3. Once it says that 0 were left, take the old key out of the file, on every node.

    With OMNILAB_MASTER_KEY in the environment, restart the nodes one by one: with "OLD NEW" before, so that all can
    open both; run this command with "NEW OLD"; then with "NEW" alone. Backups made before need the old key: keep it
    apart for as long as you keep them.
    """

    async def action(session: Session) -> dict[str, Any]:
        from omnilab.installation import reseal as reseal_installation

        return {"resealed": await reseal_installation(session.platform, actor=session.actor)}

    run(ctx, action, as_json=as_json, people=_show_resealed)


def _show_resealed(done: dict[str, Any]) -> str:
    counts = done["resealed"]
    if not any(counts.values()):
        return "Everything is sealed under the first master key: 0 were left. The other keys can go."
    told = ", ".join(f"{count} of {name.replace('_', ' ')}" for name, count in counts.items())
    return f"Resealed under the first master key: {told}. Run it once more, until it says that 0 were left."


def _show(found: dict[str, Any]) -> str:
    return table(_HEADINGS, [[key[name] for name in _HEADINGS] for key in found["keys"]])
