"""Flows driven by hand: a clock that only pauses move, answers from a script, renewals run when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from omnilab.client.assembly import assemble
from omnilab.client.clock import Clock
from omnilab.client.codes import API_CODES, TOKEN_CODES
from omnilab.client.effects import Answer, Effect, Failure, Flow, Fly, Pause, Send, Wait
from omnilab.client.settings import Options
from omnilab.client.token_source import TOKEN_PATH

T = TypeVar("T")
Reply = Answer | Failure
BROKEN = Failure("broken", "The connection broke off (ReadError).", sent=True)
REFUSED = Failure("connect", "No connection: refused.", sent=False)
ENVIRON = {
    "OMNILAB_CLIENT_ID": "cli_1",
    "OMNILAB_CLIENT_SECRET": "omni_dev_thesecret",
    "OMNILAB_AUDIENCE": "urn:omnilab:development:acme",
    "OMNILAB_BASE_URL": "https://acme.api.example.com",
}
BOOKING = {
    "booking_id": "bkg_1",
    "booking_status": "CANCELLED",
    "external_id": "contact-1",
    "interaction_id": "int_1",
    "event_id": "evt_1",
    "slot_id": "slt_1",
    "slot_start_date": "2026-12-01T10:00:00Z",
    "slot_end_date": "2026-12-01T11:00:00Z",
    "created_at": "2026-01-01T00:00:00Z",
}


class HandClock(Clock):
    """Stands still until it is moved. `chance` gives the middle."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.luck = 0.5

    def now(self) -> float:
        return self.seconds

    def chance(self, low: float, high: float) -> float:
        return low + (high - low) * self.luck


class Stage:
    """One client whose network is a script. `token_replies` and `api_replies` are taken from the front; when they are
    used up, the token service issues and the API answers 200."""

    def __init__(self, **options: Any) -> None:
        self.clock = HandClock()
        given: Options = {"environ": ENVIRON, "clock": self.clock, **options}  # type: ignore[typeddict-item]
        self.settings, self.caller = assemble(given)
        self.token_replies: list[Reply | Callable[[], Reply]] = []
        self.api_replies: list[Reply | Callable[[], Reply]] = []
        self.sent: list[Send] = []
        self.pauses: list[float] = []
        self.background: list[Fly] = []
        self.lifetime = 3600.0

    @property
    def tokens(self) -> Any:
        return self.caller.tokens

    @property
    def token_requests(self) -> int:
        return sum(send.target == TOKEN_PATH for send in self.sent)

    @property
    def api_calls(self) -> list[Send]:
        return [send for send in self.sent if send.target != TOKEN_PATH]

    @property
    def bearers(self) -> list[str]:
        return [send.token.reveal() for send in self.api_calls if send.token is not None]

    def play(self, flow: Flow[T]) -> T:
        return self.play_on(flow, None)

    def play_on(self, flow: Flow[T], reply: Any) -> T:
        """Go on with a flow that waits for `reply`."""
        try:
            while True:
                reply = self.perform(flow.send(reply))
        except StopIteration as ended:
            result: T = ended.value
            return result

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Send):
            self.sent.append(effect)
            return self._answer(effect)
        if isinstance(effect, Pause):
            self.pauses.append(effect.seconds)
            self.clock.seconds += effect.seconds
            return None
        if isinstance(effect, Fly):
            if not effect.now:
                self.background.append(effect)
                return True
            self.land(effect)
            return True
        assert isinstance(effect, Wait)
        if not effect.landing.done():
            self.clock.seconds += effect.seconds
        return effect.landing.done()

    def land(self, fly: Fly) -> None:
        """Let a renewal fly to its end."""
        try:
            self.play(fly.flow)
        finally:
            fly.landed()

    def _answer(self, send: Send) -> Reply:
        is_token = send.target == TOKEN_PATH
        replies = self.token_replies if is_token else self.api_replies
        if replies:
            reply = replies.pop(0)
            return reply() if callable(reply) else reply
        return granted(f"token-{self.token_requests}", self.lifetime) if is_token else answer(200, BOOKING)


def answer(status: int, body: object, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, msgspec.json.encode(body))


def granted(token: str, lifetime: float = 3600) -> Answer:
    return answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": lifetime})


def problem(code: str, **headers: str) -> Answer:
    """A refusal of the API."""
    status = API_CODES[code].status
    return answer(status, {"code": code, "detail": f"About {code}.", "status": status}, x_request_id="req-1", **headers)


def oauth(code: str, **headers: str) -> Answer:
    """A refusal of the token service."""
    body = {"error": "e", "error_description": f"About {code}.", "error_uri": f"https://x/docs/errors/{code}"}
    return answer(TOKEN_CODES[code], body | {"request_id": "req-2"}, **headers)
