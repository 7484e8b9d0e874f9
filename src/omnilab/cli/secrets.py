"""`omnilab secrets …`."""

from __future__ import annotations

from typing import Annotated

import typer

from omnilab.cli.output import JsonFlag, run
from omnilab.cli.provisioning_text import Document, HandOffFlag, columns, link_shown_once, shown_once, switched
from omnilab.cli.session import Session
from omnilab.tenancy.model.moments import moment_ms
from omnilab.tenancy.model.orders import Rotation
from omnilab.tenancy.model.rules import RuleError, duration_seconds

app = typer.Typer(no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The client's id.")]
SecretId = Annotated[str, typer.Argument(metavar="SECRET_ID", help="The secret's id, sec_…")]


@app.command("add")
def add(
    ctx: typer.Context,
    client_id: ClientId,
    label: Annotated[str | None, typer.Option("--label", help="What tells this secret from the others.")] = None,
    expires_in: Annotated[str | None, typer.Option("--expires-in", help="90d and the like; units s m h d.")] = None,
    hand_off: HandOffFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Give a client one more secret, shown this once. The others go on working."""
    seconds = _seconds(expires_in)

    async def action(session: Session) -> Document:
        tenancy = session.platform.tenancy
        if hand_off:
            order = Rotation(label=label, expires_in_seconds=seconds)
            return await tenancy.hand_offs.offer(client_id, order, actor=session.actor)
        issued = await tenancy.secrets.add(client_id, label=label, expires_in_seconds=seconds, actor=session.actor)
        return issued.document()

    run(ctx, action, as_json=as_json, people=link_shown_once if hand_off else shown_once)


@app.command("rotate")
def rotate(
    ctx: typer.Context,
    client_id: ClientId,
    overlap: Annotated[
        str, typer.Option("--overlap", help="How long the old secrets must be unused before they are safe to remove.")
    ] = "7d",
    label: Annotated[str | None, typer.Option("--label", help="What tells this secret from the others.")] = None,
    expires_in: Annotated[str | None, typer.Option("--expires-in", help="90d and the like; units s m h d.")] = None,
    hand_off: HandOffFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Give a client a new secret beside its old ones, which go on working; the new one is shown this once.

    Then let the callers move, watch `secrets list` until an old one is `safe to remove`, and revoke it.
    """
    order = Rotation(
        overlap_seconds=_seconds(overlap, "--overlap") or 0, label=label, expires_in_seconds=_seconds(expires_in)
    )

    async def action(session: Session) -> Document:
        tenancy = session.platform.tenancy
        if hand_off:
            return await tenancy.hand_offs.offer(client_id, order, supersede=True, actor=session.actor)
        return (await tenancy.secrets.rotate(client_id, order, actor=session.actor)).document()

    run(ctx, action, as_json=as_json, people=link_shown_once if hand_off else shown_once)


@app.command("list")
def list_all(ctx: typer.Context, client_id: ClientId, as_json: JsonFlag = False) -> None:
    """List a client's secrets with their use: watch here whether callers have moved to a new one.

    Verdicts: in use (used within 24 hours, so a token issued on it may still live), quiet since TIME, and safe to
    remove: a newer secret is there, this one was not used for the overlap, and every address of its last 24 hours of
    use has used a newer one since or been silent for 7 days.
    """

    async def action(session: Session) -> Document:
        return {"secrets": await session.platform.tenancy.secrets.list_all(client_id)}

    run(ctx, action, as_json=as_json, people=_show_list)


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    client_id: ClientId,
    secret_id: SecretId,
    as_json: JsonFlag = False,
) -> None:
    """End a secret for good, and within a second every token issued on it."""

    async def action(session: Session) -> Document:
        return await session.platform.tenancy.secrets.revoke(client_id, secret_id, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: switched(f"The secret {secret_id}", done))


@app.command("expiring")
def expiring(
    ctx: typer.Context,
    within: Annotated[str, typer.Option("--within", help="How far to look ahead: 30d and the like.")] = "30d",
    as_json: JsonFlag = False,
) -> None:
    """List whom to tell that a secret expires, with a ready text for each."""
    seconds = _seconds(within, "--within") or 0

    async def action(session: Session) -> Document:
        return {"secrets": await session.platform.tenancy.expiry.list_all(seconds)}

    run(ctx, action, as_json=as_json, people=_show_expiring)


@app.command("compromised")
def compromised(
    ctx: typer.Context,
    client_id: ClientId,
    secret_id: SecretId,
    since: Annotated[
        str | None, typer.Option("--since", help="Report from then on: RFC 3339, or 12h; default: all of its life.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """A secret leaked: revoke it now, print a link to a new one, every address and call it was used for, and a mail."""

    async def action(session: Session) -> Document:
        since_ms = None if since is None else _since(since, session.platform.clock.now_ms())
        verbs = session.platform.tenancy.compromise
        return await verbs.handle(client_id, secret_id, since_ms=since_ms, actor=session.actor)

    run(ctx, action, as_json=as_json, people=_show_compromised)


@app.command("clear-exposed")
def clear_exposed(
    ctx: typer.Context,
    client_id: ClientId,
    secret_id: SecretId,
    reason: Annotated[str, typer.Option("--reason", help="Why it is not exposed after all; goes on record.")],
    as_json: JsonFlag = False,
) -> None:
    """Take back the mark that a secret came from a browser. Only where nobody else can have seen it."""

    async def action(session: Session) -> Document:
        verbs = session.platform.tenancy.secrets
        return await verbs.clear_exposed(client_id, secret_id, reason=reason, actor=session.actor)

    run(ctx, action, as_json=as_json, people=lambda done: _show_cleared(secret_id, done))


def _show_cleared(secret_id: str, done: Document) -> str:
    return f"The secret {secret_id} is {'no longer' if done['changed'] else 'not'} marked exposed."


def _since(text: str, now_ms: int) -> int:
    try:
        return now_ms - duration_seconds(text) * 1000 if text[-1:] in "smhd" else moment_ms(text)
    except RuleError as error:
        raise typer.BadParameter(error.detail, param_hint="--since") from None


def _seconds(text: str | None, option: str = "--expires-in") -> int | None:
    try:
        return None if text is None else duration_seconds(text)
    except RuleError as error:
        raise typer.BadParameter(error.detail, param_hint=option) from None


def _show_list(answer: Document) -> str:
    found = answer["secrets"]
    assert isinstance(found, list)
    return columns(
        found, "secret_id", "label", "status", "created_at", "expires_at", "last_used_at", "last_address", "use_count",
        "exposed_at", "verdict", empty="The client has no secrets.",
    )  # fmt: skip


def _show_expiring(answer: Document) -> str:
    found = answer["secrets"]
    assert isinstance(found, list)
    names = ("days_left", "expires_at", "tenant", "client_id", "secret_id", "technical_contact", "successor")
    texts = [f"\n--- to {each['technical_contact'] or 'nobody known'}\n{each['text']}" for each in found]
    return "\n".join([columns(found, *names, empty="No secret expires in that time."), *texts])


def _show_compromised(done: Document) -> str:
    calls = done["calls"]
    assert isinstance(calls, list)
    names = ("address", "endpoint", "outcome", "count", "first_at", "last_at", "last_request_id")
    link = {name: done[name] for name in ("client_id", "hand_off_id", "hand_off_url", "hand_off_expires_at")}
    return "\n".join(
        [
            f"The secret {done['secret_id']} was revoked at {done['revoked_at']}.\n",
            link_shown_once(link),
            f"\nWhat it was used for since {done['since']}:",
            columns(calls, *names, empty="Nothing that is on record."),
            f"\n--- to {done['technical_contact'] or 'nobody known'}\n{done['text']}",
        ]
    )
