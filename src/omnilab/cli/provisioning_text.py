"""What people read about provisioning: the words under a table or a changed thing. Knows documents, not services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from omnilab.cli.output import describe, table

Document = Mapping[str, object]
HandOffFlag = Annotated[
    bool,
    typer.Option("--hand-off", help="Print a link that shows the secret once to whoever opens it, not the secret."),
]


def without(document: Document, *names: str) -> dict[str, object]:
    """A document less the fields that people are told in another way."""
    return {name: value for name, value in document.items() if name not in names}


def switched(what: str, document: Document) -> str:
    """One line on a switch that was thrown, or stood so already."""
    already = "" if document["changed"] else "already "
    return f"{what} is {already}{document['status']}."


def rights_changed(whose: str, verb: str, asked: Sequence[str], document: Document) -> str:
    """What an `allow` or `withdraw` did, and what holds now. `verb` is `allowed` or `withdrawn`."""
    changed = document["changed"]
    done = [name for name in asked if isinstance(changed, list) and name in changed]
    same = [name for name in dict.fromkeys(asked) if name not in done]
    lines = [f"{whose}: {verb} {', '.join(done)}." if done else f"{whose}: nothing to do."]
    if same:
        lines.append(f"{'Allowed already' if verb == 'allowed' else 'Was not allowed'}: {', '.join(same)}.")
    return "\n".join(lines)


def shown_once(document: Document) -> str:
    """A new credential line by line, with the warning that belongs to it."""
    return f"{describe(document)}\n\nThe secret is shown this once and stored nowhere: keep it now, on a server only."


def link_shown_once(document: Document) -> str:
    """A hand-off link line by line, with what belongs to it."""
    return (
        f"{describe(document)}\n\nThe link is shown this once, works once, and ends at"
        f" {document['hand_off_expires_at']}. Send it to the one person who keeps the secret.\n"
        "A preview does not use it up."
    )


def columns(documents: Sequence[Document], *names: str, empty: str) -> str:
    """The named fields of documents as a table."""
    return table(names, [[each[name] for name in names] for each in documents], empty=empty)
