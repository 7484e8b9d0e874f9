"""Verified tokens, so that a token is checked by its signature once and by look-ups from then on.

Promises a bound on the number of entries; the oldest go first. What is cached is what cannot change: signature,
type, issuer, audience. Time, standing and the key's own life are checked at every call by the guard.
"""

from __future__ import annotations

from collections import OrderedDict

from omnilab.guard.caller import Caller
from omnilab.guard.keys import VerificationKey


class VerifiedToken:
    """What one token proved. `caller` is replaced when the client's standing becomes another object."""

    __slots__ = ("audiences", "caller", "key", "expires_at")

    def __init__(self, caller: Caller, key: VerificationKey, audiences: tuple[str, ...]) -> None:
        self.caller = caller
        self.key = key
        self.audiences = audiences
        self.expires_at = caller.expires_at


class TokenCache:
    """Verified tokens by their text, at most `size` of them; 0 keeps none."""

    __slots__ = ("_entries", "_size", "get")

    def __init__(self, size: int) -> None:
        self._size = size
        # In order of entry: the front of a plain dict would become slow to find with many removals.
        self._entries: OrderedDict[str, VerifiedToken] = OrderedDict()
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, token: str, entry: VerifiedToken) -> None:
        if self._size <= 0:
            return
        self._entries[token] = entry
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, token: str) -> None:
        self._entries.pop(token, None)
