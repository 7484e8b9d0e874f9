"""One call of the API from beginning to end: token, request, one retry with a new token, repetitions. Sans I/O.

    quota room? ─► token ─► send ─► 2xx            done
                    ▲               401            give the token up ─► new token ─► send once more
                    └───────────────429 5xx –      pause (jitter, Retry-After) ─► again, while there is time
                                    else           the error of its code

Reads are repeated. Writes are repeated only with an idempotency key, which makes that safe: the platform does a write
once for one key and answers repetitions with the first answer.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from omnilab.client.answers import Reader, may_repeat, trouble_of, unreadable, wants_new_token
from omnilab.client.backoff import pause_before
from omnilab.client.codes import error_of_call
from omnilab.client.effects import Answer, Failure, Flow, Pause, Send
from omnilab.client.errors import OmniLabError, Trouble
from omnilab.client.hidden import Hidden
from omnilab.client.limits import Limits
from omnilab.client.settings import Settings
from omnilab.client.token import AccessToken
from omnilab.client.token_holder import TokenHolder

T = TypeVar("T")


class Call:
    """What is to be called. repeatable: it does nothing twice."""

    __slots__ = ("method", "target", "body", "idempotency_key", "repeatable")

    def __init__(
        self, method: str, target: str, *, body: bytes | None = None, idempotency_key: str | None = None
    ) -> None:
        self.method = method
        self.target = target
        self.body = None if body is None else Hidden(body)
        self.idempotency_key = idempotency_key
        self.repeatable = method == "GET" or idempotency_key is not None


class Caller:
    """Makes the calls of one client."""

    def __init__(self, settings: Settings, tokens: TokenHolder) -> None:
        self._settings = settings
        self._clock = settings.clock
        self.tokens = tokens
        self.limits = Limits(settings.clock)

    def call(self, call: Call, reader: Reader[T]) -> Flow[T]:
        """The decoded answer. Raises OmniLabError, with the idempotency key of a write that has one."""
        try:
            return (yield from self._attempts(call, reader))
        except OmniLabError as error:
            error.idempotency_key = call.idempotency_key
            raise

    def _attempts(self, call: Call, reader: Reader[T]) -> Flow[T]:
        now = self._clock.now()
        deadline = now + self._settings.total_seconds
        attempt, since, sent = 0, 0, False
        while True:
            if self.limits.hold_until > now:
                yield from self.limits.hold(now, deadline)
            token = yield from self.tokens.get(deadline, since=since)
            outcome = yield self._send(call, token, deadline)
            if isinstance(outcome, Answer) and outcome.status < 300:
                token.proved = True
                self.limits.note(outcome.headers)
                return _read(reader, outcome)
            trouble = self._trouble(outcome, token)
            sent = sent or trouble.sent
            if wants_new_token(trouble):
                # Refused before anything was done, so this is safe for every write too.
                if since == 0 and self.tokens.give_up(token, dead=trouble.status == 401):
                    since = token.epoch + 1
                    continue
                raise error_of_call(trouble)
            pause = self._pause(call, trouble, attempt, deadline)
            if pause is None:
                raise error_of_call(replace(trouble, sent=sent))
            yield Pause(pause)
            attempt += 1
            now = self._clock.now()

    def token(self) -> Flow[AccessToken]:
        """A token to call with."""
        return self.tokens.get(self._clock.now() + self._settings.total_seconds)

    def _send(self, call: Call, token: AccessToken, deadline: float) -> Send:
        return Send(
            call.method,
            call.target,
            token=token.text,
            body=call.body,
            idempotency_key=call.idempotency_key,
            deadline=deadline,
        )

    def _trouble(self, outcome: Answer | Failure, token: AccessToken) -> Trouble:
        trouble = trouble_of(outcome, token.text, self._settings.secret.last)
        if isinstance(outcome, Answer):
            token.proved = token.proved or not wants_new_token(trouble)
            if outcome.status == 429:
                self.limits.refused(trouble.retry_after_seconds or 0.0)
        return trouble

    def _pause(self, call: Call, trouble: Trouble, attempt: int, deadline: float) -> float | None:
        if not call.repeatable or not may_repeat(trouble):
            return None
        wait = trouble.retry_after_seconds
        return pause_before(attempt, retry_after_seconds=wait, clock=self._clock, deadline=deadline)


def _read(reader: Reader[T], answer: Answer) -> T:
    value = reader.read(answer)
    if value is None:
        raise error_of_call(unreadable(answer))
    return value
