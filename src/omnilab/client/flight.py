"""One token request in flight, that any number of threads and tasks wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omnilab.client.errors import Trouble

if TYPE_CHECKING:
    from concurrent.futures import Future

# A flight whose thread or event loop died without a word is given up this long after its own time was over.
_GRACE_SECONDS = 5.0


class Flight:
    """A token request under way.

    epoch: how many times tokens had been given up when it began. forced: it began because one was.
    outdated: one was given up since it began, so what it brings is not taken into use.
    trouble: why it brought no token; None while it flies, when it brought one, and when it was abandoned.
    """

    __slots__ = ("epoch", "forced", "deadline", "outdated", "landing", "trouble")

    def __init__(self, *, epoch: int, forced: bool, deadline: float) -> None:
        self.epoch = epoch
        self.forced = forced
        self.deadline = deadline
        self.outdated = False
        self.trouble: Trouble | None = None
        from concurrent.futures import Future  # noqa: PLC0415 - the doors have loaded it; importing the SDK must not

        self.landing: Future[None] = Future()
        # From now on nobody can cancel it: a waiter that goes away must not take the others along.
        self.landing.set_running_or_notify_cancel()

    def is_lost(self, now: float) -> bool:
        """Nobody will ever land it."""
        return now > self.deadline + _GRACE_SECONDS

    def land(self) -> None:
        """Let everybody go on."""
        if not self.landing.done():
            self.landing.set_result(None)
