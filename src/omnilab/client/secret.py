"""Where the client secret comes from: a text, or a file that is read anew for each token request.

So a rotated secret is taken up without a restart. Must not know what the secret is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from omnilab.client.errors import ConfigurationError
from omnilab.client.hidden import Hidden

_MAX_BYTES = 4096


class ClientSecret:
    """The secret of the client, masked wherever it might be printed."""

    __slots__ = ("_last", "_path")

    def __init__(self, text: Hidden[str] | None = None, path: Path | None = None) -> None:
        self._path = path
        self._last = text or Hidden("")

    @property
    def last(self) -> Hidden[str]:
        """The secret as it was read last, to be masked in texts."""
        return self._last

    def read(self) -> Hidden[str]:
        """The secret as it is now. Raises ConfigurationError when its file cannot be read, or holds nothing."""
        if self._path is None:
            return self._last
        problem = self._take(self._path)
        if problem and not self._last:
            raise ConfigurationError.of(f"The file of the client secret, {self._path}, {problem}.")
        # A file that is away for a moment, because a new one is being put in its place, must not cost a call.
        return self._last

    def _take(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_BYTES + 1)
        except OSError as error:
            return f"cannot be read ({type(error).__name__})"
        if len(raw) > _MAX_BYTES:
            return "is too large for a secret"
        text = Hidden(raw.decode("utf-8", "replace").strip())
        if not text:
            return "is empty"
        if not is_text(text):
            return "holds something that is no text"
        self._last = text
        return ""

    def __repr__(self) -> str:
        return "<client secret>" if self._path is None else f"<client secret from {self._path}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client secret is never pickled")


def is_text(secret: Hidden[str]) -> bool:
    """Whether it can be sent. What cannot be encoded would be quoted by the exception that says so."""
    return not any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in secret.reveal())
