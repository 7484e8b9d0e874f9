"""Getting a token: from the file that processes share, or from the token service, patiently. A flow without I/O.

Promises one token request for all processes that share a file, and that a client whose credentials are refused does
not hammer the token service with them. Which token is in use is decided by `token_holder.py`.
"""

from __future__ import annotations

import msgspec

from omnilab.client.answers import may_repeat, read_grant, trouble_of, unreadable
from omnilab.client.backoff import pause_before
from omnilab.client.codes import MISCONFIGURED
from omnilab.client.effects import Answer, Failure, Flow, Pause, Send
from omnilab.client.errors import ConfigurationError, Trouble
from omnilab.client.flight import Flight
from omnilab.client.hidden import Hidden
from omnilab.client.log import log
from omnilab.client.settings import Settings
from omnilab.client.token import AccessToken
from omnilab.client.token_file import FileLock, TokenFile

TOKEN_PATH = "/v1/oauth:token"
# A process that holds the file's lock and does not move on (stopped, swapped out) costs the others this and no more.
LOCK_WAIT_SECONDS = 10.0
LOCK_WAIT_WHEN_FORCED_SECONDS = 2.0
LONGEST_REFUSAL_SECONDS = 30.0


class TokenSource:
    """Where tokens come from. Used by one flight at a time, or by two where the older one is outdated."""

    def __init__(self, settings: Settings, file: TokenFile | None = None) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._file = file
        self._not_before = 0.0
        self._refusals = 0
        self._last: tuple[Trouble, Hidden[str]] | None = None

    def obtain(self, flight: Flight, current: AccessToken | None) -> Flow[AccessToken | Trouble]:
        """A token of the flight's epoch or a later one, or why there is none. current: the token in use, if any."""
        file = self._file
        if file is None:
            return (yield from self._ask(flight, flight.epoch))
        lock: FileLock | None = None
        try:
            lock, kept = yield from self._queue(file, flight, current)
            if kept is not None and self._is_fit(kept, flight, current):
                return kept
            # What is asked for now is younger than whatever the file's epoch stands for.
            outcome = yield from self._ask(flight, max(flight.epoch, kept.epoch if kept is not None else 0))
            if isinstance(outcome, AccessToken):
                file.write(outcome)
            return outcome
        finally:
            if lock is not None:
                lock.release()

    def _queue(
        self, file: TokenFile, flight: Flight, current: AccessToken | None
    ) -> Flow[tuple[FileLock | None, AccessToken | None]]:
        """The lock, or a fit token of another process, whichever comes first; after a while neither."""
        patience = LOCK_WAIT_WHEN_FORCED_SECONDS if flight.forced else LOCK_WAIT_SECONDS
        began = self._clock.now()
        until = began + min(patience, (flight.deadline - began) / 2)
        while True:
            kept = file.read()
            if kept is not None and self._is_fit(kept, flight, current):
                return None, kept
            lock = file.try_lock()
            if lock is not None:
                # Read again: it may have been written between the look and the lock.
                return lock, file.read()
            if not file.works or self._clock.now() >= until:
                return None, kept
            yield Pause(self._clock.chance(0.01, 0.04))

    def _is_fit(self, kept: AccessToken, flight: Flight, current: AccessToken | None) -> bool:
        now = self._clock.now()
        if kept.epoch < flight.epoch or now >= kept.expires_at:
            return False
        # To start with, one that is due for renewal is good enough; it does not replace one that is due itself.
        return current is None or (kept.requested_at > current.requested_at and now < kept.renew_at)

    def _ask(self, flight: Flight, epoch: int) -> Flow[AccessToken | Trouble]:
        attempt = 0
        while True:
            try:
                secret = self._settings.secret.read()
            except ConfigurationError as error:
                return Trouble(code=MISCONFIGURED, detail=error.detail, sent=False)
            told = yield from self._told_before(flight, secret)
            if told is not None:
                return told
            asked_at = self._clock.now()
            outcome = yield Send(
                "POST", TOKEN_PATH, body=token_request(self._settings, secret), deadline=flight.deadline
            )
            token = self._token_of(outcome, epoch=epoch, asked_at=asked_at)
            if token is not None:
                return token
            trouble = self._note(outcome, secret)
            if not may_repeat(trouble) or flight.outdated:
                return trouble
            pause = pause_before(
                attempt,
                retry_after_seconds=trouble.retry_after_seconds,
                clock=self._clock,
                deadline=flight.deadline,
            )
            if pause is None:
                return trouble
            attempt += 1
            yield Pause(pause)

    def _told_before(self, flight: Flight, secret: Hidden[str]) -> Flow[Trouble | None]:
        """The last answer again, where asking now would only bring it again; None after waiting as it wished."""
        wait = self._not_before - self._clock.now()
        if self._last is None or wait <= 0:
            return None
        trouble, with_secret = self._last
        if not may_repeat(trouble):
            # A secret that was replaced since is worth a try at once.
            return trouble if with_secret.reveal() == secret.reveal() else None
        if self._not_before >= flight.deadline:
            return trouble
        yield Pause(wait + self._clock.chance(0.0, 0.25))
        return None

    def _note(self, outcome: Answer | Failure, secret: Hidden[str]) -> Trouble:
        is_success = isinstance(outcome, Answer) and outcome.status < 300
        trouble = unreadable(outcome) if is_success else trouble_of(outcome, secret)  # type: ignore[arg-type]
        wait = trouble.retry_after_seconds
        if not may_repeat(trouble):
            self._refusals += 1
            wait = min(LONGEST_REFUSAL_SECONDS, 2.0 ** (self._refusals - 1))
        if wait is not None:
            self._not_before = self._clock.now() + wait
            self._last = trouble, secret
        log().warning(
            "no token: %s (status %s, request id %s)", trouble.code, trouble.status or "none", trouble.request_id
        )
        return trouble

    def _token_of(self, outcome: Answer | Failure, *, epoch: int, asked_at: float) -> AccessToken | None:
        grant = read_grant(outcome) if isinstance(outcome, Answer) and outcome.status == 200 else None
        if grant is None:
            return None
        text, lifetime = grant
        self._refusals, self._last, self._not_before = 0, None, 0.0
        chance = self._clock.chance(0.0, 1.0)
        return AccessToken(text, epoch=epoch, requested_at=asked_at, lifetime_seconds=lifetime, chance=chance)


def token_request(settings: Settings, secret: Hidden[str]) -> Hidden[bytes]:
    """The body of a token request."""
    given = {
        "client_id": settings.client_id,
        "client_secret": secret.reveal(),
        "audience": settings.audience,
        "grant_type": "client_credentials",
    }
    return Hidden(msgspec.json.encode(given))
