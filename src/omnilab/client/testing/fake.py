"""`FakeOmniLab`: the platform as callers know it, in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Unpack

from omnilab.client.async_client import AsyncOmniLab
from omnilab.client.auth import OmniLabAuth
from omnilab.client.codes import API_CODES, TOKEN_CODES
from omnilab.client.results import Booking
from omnilab.client.settings import Options
from omnilab.client.sync_client import OmniLab
from omnilab.client.testing import fake_calls
from omnilab.client.testing.fake_http import FakeTransport, Question, Reply, serving
from omnilab.client.testing.fake_state import FakeState


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One request the fake answered. call: `token`, `list`, `cancel`, `whoami` or "" for another path.

    code: "" where it succeeded. replayed: answered with the first answer of its idempotency key.
    """

    call: str
    status: int
    code: str
    request_id: str
    idempotency_key: str | None = None
    replayed: bool = False
    lost: bool = False


@dataclass(slots=True)
class _Plan:
    """What is to happen to the next calls of a kind."""

    call: str | None
    times: int
    code: str | None = None
    retry_after_seconds: int | None = None
    after: bool = False


class FakeOmniLab(FakeState):
    """A platform with one tenant and one client. Safe to use from several threads.

    lifetime_seconds: of the tokens it issues from now on; may be set at any time.

    >>> fake = FakeOmniLab()
    >>> _ = fake.add_booking("contact-1")
    >>> client = fake.client()
    >>> [booking.booking_status for booking in client.bookings.list("contact-1")]
    ['CONFIRMED']
    >>> fake.answer_next("endpoint_not_enabled")
    >>> client.whoami()
    Traceback (most recent call last):
    omnilab.client.errors.NotAllowedError: endpoint_not_enabled: ...
    >>> fake.advance(3600)                                      # the token has expired: a new one is got
    >>> client.whoami().tenant
    'acme'
    >>> [call.call for call in fake.calls]
    ['token', 'list', 'whoami', 'token', 'whoami']
    """

    def __init__(self, *, tenant: str = "acme", lifetime_seconds: float = 3600) -> None:
        super().__init__(tenant=tenant, lifetime_seconds=lifetime_seconds)
        self.transport = FakeTransport(self.answer)
        self.calls: list[SeenCall] = []
        self._plans: list[_Plan] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of a client of this fake."""
        names = ("client_id", "client_secret", "audience", "base_url")
        return {f"OMNILAB_{name.upper()}": getattr(self, name) for name in names}

    def client(self, **options: Unpack[Options]) -> OmniLab:
        """A client for threads that calls this fake."""
        return OmniLab(transport=self.transport, **self._filled(options))

    def async_client(self, **options: Unpack[Options]) -> AsyncOmniLab:
        """A client for asyncio that calls this fake."""
        return AsyncOmniLab(transport=self.transport, **self._filled(options))

    def auth(self, **options: Unpack[Options]) -> OmniLabAuth:
        """The token for your own httpx client; give that one `transport=fake.transport`."""
        return OmniLabAuth(transport=self.transport, async_transport=self.transport, **self._filled(options))

    @contextmanager
    def serve(self) -> Iterator[dict[str, str]]:
        """Serve on this machine until the block ends; gives the environment of a client."""
        before = self.base_url
        with serving(self.answer) as url:
            self.base_url = url
            try:
                yield self.environ
            finally:
                self.base_url = before

    def add_booking(self, external_id: str, **fields: Any) -> Booking:
        """Add a booking; `fields` are those of `Booking` that are not to be made up."""
        return self.store.add(external_id, fields)

    @property
    def bookings(self) -> list[Booking]:
        """All bookings as they are now."""
        return self.store.all()

    def answer_next(
        self, code: str, *, call: str | None = None, times: int = 1, retry_after_seconds: int | None = None
    ) -> None:
        """Refuse the next calls with a code of the API or, for `call="token"`, of the token service.

        call: `token`, `list`, `cancel` or `whoami`; None is any but `token`.
        """
        known = TOKEN_CODES if call == "token" else API_CODES
        if code not in known:
            raise ValueError(f"no such code here: {code}")
        self._plans.append(_Plan(call, times, code=code, retry_after_seconds=retry_after_seconds))

    def lose_next(self, *, call: str | None = None, times: int = 1, after: bool = False) -> None:
        """Break the connection of the next calls; `after`: only once they have been carried out."""
        self._plans.append(_Plan(call, times, after=after))

    def revoke_tokens(self) -> None:
        """All tokens issued so far are dead from now on."""
        self.tokens.revoke_all()

    def advance(self, seconds: float) -> None:
        """Let time pass at once, for the fake and for the clients it has made."""
        self.clock.advance(seconds)

    @property
    def token_requests(self) -> int:
        """How many token requests there were."""
        return sum(call.call == "token" for call in self.calls)

    def answer(self, question: Question) -> Reply:
        """Answer one request. The transport and the server bring requests here."""
        with self._lock:
            call = fake_calls.name_of(question)
            request_id = f"0198fake-0000-7000-8000-{next(self._numbers):012d}"
            plan = self._planned(call)
            if plan is not None and plan.code is not None:
                reply = fake_calls.refusal(
                    plan.code, request_id, is_token=call == "token", wait=plan.retry_after_seconds
                )
            elif plan is not None and not plan.after:
                reply = Reply(0, {}, b"", lost=True)
            else:
                reply = fake_calls.carry_out(self, call, question, request_id)._replace(lost=plan is not None)
            self.calls.append(
                SeenCall(
                    call,
                    reply.status,
                    fake_calls.code_in(reply),
                    request_id,
                    question.headers.get("idempotency-key"),
                    "Idempotency-Replayed" in reply.headers,
                    reply.lost,
                )
            )
            return reply

    def _planned(self, call: str) -> _Plan | None:
        for plan in self._plans:
            if plan.call == call or (plan.call is None and call != "token"):
                plan.times -= 1
                if plan.times <= 0:
                    self._plans.remove(plan)
                return plan
        return None

    def _filled(self, options: Options) -> Options:
        made: Options = {"environ": self.environ, "clock": self.clock}
        return {**made, **options}
