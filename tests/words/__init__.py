"""What people are told, word for word: each case beside the text that was last agreed on.

A change of words shows in the diff of a `.json` file here, to be read before it is agreed to. To write the files anew:
`WRITE_WORDS=1 .venv/bin/pytest tests/words`. No case holds a secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

_TOLD = (
    "code", "detail", "reason", "status", "check", "expected", "found", "client_id", "credential_id", "subject",
    "retry_after_seconds",
)  # fmt: skip


def told_by(error: BaseException) -> dict[str, Any]:
    """Everything that an error of ours carries."""
    members = {name: getattr(error, name, None) for name in _TOLD}
    told = {
        name: value if isinstance(value, int) else str(value) for name, value in members.items() if value is not None
    }
    return {"error": type(error).__name__, "text": str(error), **told}


def outcome_of(act: Callable[[], object]) -> Any:
    """What a rule says: its value, or its error."""
    try:
        value = act()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        return told_by(error)
    return value if isinstance(value, bool | int | str | None) else str(value)


async def awaited_outcome_of(act: Callable[[], Awaitable[object]]) -> Any:
    """The same of a coroutine."""
    try:
        value = await act()
    except Exception as error:  # noqa: BLE001 - likewise
        return told_by(error)
    return str(value)


def agrees(name: str, found: dict[str, Any]) -> None:
    """Raises AssertionError where something is said that was not agreed on."""
    path = Path(__file__).with_name(f"{name}.json")
    if os.environ.get("WRITE_WORDS"):
        path.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert json.loads(json.dumps(found)) == json.loads(path.read_text())
