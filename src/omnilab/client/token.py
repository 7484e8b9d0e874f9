"""An access token as the client keeps it: its text hidden, its times on the client's own clock."""

from __future__ import annotations

from omnilab.client.clock import Clock
from omnilab.client.hidden import Hidden

RENEW_AT = 0.8
RENEW_JITTER = 0.05


class AccessToken:
    """An access token.

    epoch: how many times tokens had been given up when it was asked for. A token of an earlier epoch is never taken
    into use, however late it arrives. proved: an API has accepted it. forced: asked for because another was given up.
    """

    __slots__ = ("text", "epoch", "requested_at", "lifetime_seconds", "renew_at", "expires_at", "proved", "forced")

    def __init__(
        self, text: Hidden[str], *, epoch: int, requested_at: float, lifetime_seconds: float, chance: float = 0.5
    ) -> None:
        self.text = text
        self.epoch = epoch
        self.requested_at = requested_at
        self.lifetime_seconds = lifetime_seconds
        # Early by up to 5 % of its life or late by as much: clients that started together do not renew together.
        self.renew_at = requested_at + lifetime_seconds * (RENEW_AT + RENEW_JITTER * (2 * chance - 1))
        self.expires_at = requested_at + lifetime_seconds
        self.proved = False
        self.forced = False

    def reveal(self) -> str:
        """The token itself, for an `Authorization: Bearer …` header."""
        return self.text.reveal()

    def seconds_left(self, clock: Clock) -> float:
        """How long it is still good, in seconds; 0 when it is over."""
        return max(0.0, self.expires_at - clock.now())

    def __repr__(self) -> str:
        return f"<access token, {self.lifetime_seconds:.0f} s>"
