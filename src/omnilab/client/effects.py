"""What a flow asks of its door, and what it is told.

A flow is a generator: it decides everything and does nothing. It yields one of these requests and is sent the reply;
a door (`threads.py`, `tasks.py`) does what is asked, in its own colour. So there is one flow, and no twin.

| a flow yields | the door sends back |
|---|---|
| `Send` | `Answer` or `Failure` |
| `Pause` | None, after so many seconds |
| `Fly` | whether it could be started: another flow, run at once or in the background |
| `Wait` | whether the flight landed in time |
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import msgspec

from omnilab.client.hidden import Hidden

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


class Send:
    """One HTTP request. `deadline` is a moment of the client's clock after which the answer is not wanted any more."""

    __slots__ = ("method", "target", "token", "body", "idempotency_key", "deadline")

    def __init__(
        self,
        method: str,
        target: str,
        *,
        deadline: float,
        token: Hidden[str] | None = None,
        body: Hidden[bytes] | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.token = token
        self.body = body
        self.idempotency_key = idempotency_key
        self.deadline = deadline

    def __repr__(self) -> str:
        return f"<{self.method} {self.target.partition('?')[0]}>"


class Answer:
    """An HTTP answer, read to its end. `headers` finds a header by its name in whatever case."""

    __slots__ = ("status", "headers", "body")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<answer {self.status}, {len(self.body)} bytes>"


class Failure(msgspec.Struct, frozen=True):
    """No answer. `sent` is False where the request certainly never left."""

    kind: Literal["connect", "timeout", "broken", "unreadable"]
    words: str
    sent: bool


class Pause(msgspec.Struct, frozen=True):
    """Wait a while."""

    seconds: float


class Fly(msgspec.Struct, frozen=True):
    """Run another flow: `now` in this thread (or in a task of its own, which a cancelled caller does not take along),
    else in the background. `landed` is called once, however the flow ends.
    """

    flow: Flow[None]
    landed: Callable[[], None]
    now: bool


class Wait(msgspec.Struct, frozen=True):
    """Wait for a flight of this or another thread, task or event loop."""

    landing: Future[None]
    seconds: float


Effect: TypeAlias = Send | Pause | Fly | Wait
Flow: TypeAlias = Generator[Effect, Any, T]
