"""Which token is in use: one flight for everybody, renewal while the old one serves, and no way back for a dead one.

Tokens have an epoch. Giving a token up after a 401 begins the next epoch; whatever was asked for in an earlier one
is not taken into use, however late it arrives. So of any number of calls that meet the same dead token the first one
renews it and the others take what that brings, and a renewal that began before the revocation cannot bring back a
token that died with it.

The lock guards a few assignments and is never held while anything is awaited: threads, tasks and event loops may
share one holder.
"""

from __future__ import annotations

import threading

from omnilab.client.answers import may_repeat
from omnilab.client.backoff import FIRST_SECONDS, MOST_SECONDS
from omnilab.client.codes import NO_ANSWER, error_of_token
from omnilab.client.effects import Flow, Fly, Wait
from omnilab.client.errors import OmniLabError, Trouble
from omnilab.client.flight import Flight
from omnilab.client.log import log
from omnilab.client.settings import Settings
from omnilab.client.token import AccessToken
from omnilab.client.token_source import TokenSource

# After a forced renewal whose token was refused too: an API that refuses everything must not cost a token a call.
DISTRUST_SECONDS = 10.0


class TokenHolder:
    """The token of one client."""

    def __init__(self, settings: Settings, source: TokenSource) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._source = source
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._epoch = 0
        self._flight: Flight | None = None
        self._failed_renewals = 0
        self._renew_not_before = 0.0

    def get(self, deadline: float, *, since: int = 0) -> Flow[AccessToken]:
        """A token to call with, of epoch `since` or a later one. Raises TokenRefusedError, RateLimitedError,
        UnavailableError, NoAnswerError or ConfigurationError."""
        token = self._token
        if token is not None and token.epoch >= since and self._clock.now() < token.renew_at:
            return token
        while True:
            token, flight, leads = self._decide(deadline, since)
            if flight is None:
                assert token is not None
                return token
            if leads:
                started = yield Fly(self._fly(flight), lambda ended=flight: self._end(ended), now=token is None)  # type: ignore[misc]
                if not started:
                    self._end(flight)
            if token is not None:
                return token
            yield Wait(flight.landing, max(0.0, deadline - self._clock.now()))
            error = self._error_of(flight, deadline, leads=leads)
            if error is not None:
                raise error

    def give_up(self, token: AccessToken, *, dead: bool = True) -> bool:
        """Begin a new epoch because this token was refused; True where a newer token may help.

        dead: no call may use it any more. False: it lacks a grant and serves other calls until the new one is there.
        """
        with self._lock:
            if token.epoch < self._epoch:
                return True  # somebody else has
            young = self._clock.now() < token.requested_at + DISTRUST_SECONDS
            if token.forced and not token.proved and young:
                return False
            self._epoch += 1
            if dead:
                self._token = None
            outdated, self._flight = self._flight, None
        log().info("the access token was refused and is given up")
        if outdated is not None:
            outdated.outdated = True
            outdated.land()
        return True

    def after_fork(self) -> None:
        """In a child process: the flights of the parent never land here, and its lock may be held for ever."""
        self._lock = threading.Lock()
        self._flight = None

    def _decide(self, deadline: float, since: int) -> tuple[AccessToken | None, Flight | None, bool]:
        """Token to use, flight to start or wait for, and whether it is to be started by the one who asks."""
        with self._lock:
            now = self._clock.now()
            token, flight = self._token, self._flight
            if flight is not None and (flight.epoch < since or flight.is_lost(now)):
                flight = None
            if token is not None and (token.epoch < since or now >= token.expires_at):
                token = None
            if token is not None and (flight is not None or now < max(token.renew_at, self._renew_not_before)):
                return token, None, False
            if flight is not None:
                return None, flight, False
            if token is not None:
                deadline = now + self._settings.total_seconds
            held = self._token
            forced = self._epoch > 0 and (held is None or held.epoch < self._epoch)
            self._flight = Flight(epoch=self._epoch, forced=forced, deadline=deadline)
            return token, self._flight, True

    def _fly(self, flight: Flight) -> Flow[None]:
        current = self._token
        outcome = yield from self._source.obtain(flight, current)
        with self._lock:
            if flight.epoch < self._epoch:
                flight.outdated = True
            elif isinstance(outcome, AccessToken):
                outcome.forced = flight.forced
                self._token, self._epoch = outcome, max(self._epoch, outcome.epoch)
                self._failed_renewals, self._renew_not_before = 0, 0.0
            else:
                flight.trouble = outcome
                self._renew_not_before = self._clock.now() + self._pause(outcome)
                self._failed_renewals += 1

    def _end(self, flight: Flight) -> None:
        """However it ended: also where its thread or task was stopped before it could say anything."""
        with self._lock:
            if self._flight is flight:
                self._flight = None
        flight.land()

    def _pause(self, trouble: Trouble) -> float:
        """Until the next attempt to renew a token that still serves."""
        span = min(MOST_SECONDS, FIRST_SECONDS * 4 * 2 ** min(self._failed_renewals, 10))
        return (trouble.retry_after_seconds or 0.0) + self._clock.chance(span / 2, span)

    def _error_of(self, flight: Flight, deadline: float, *, leads: bool) -> OmniLabError | None:
        """None: look again. Who waited for somebody else's flight may have more time left than that one had."""
        trouble = flight.trouble
        if trouble is not None and (leads or not may_repeat(trouble)):
            return error_of_token(trouble)
        if self._clock.now() < deadline:
            return None
        seconds = self._settings.total_seconds
        late = Trouble(code=NO_ANSWER, detail=f"No access token came within {seconds:g} s.", sent=False)
        return error_of_token(trouble or late)
