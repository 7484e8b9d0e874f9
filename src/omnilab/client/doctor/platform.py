"""What answers: OmniLab or something in its place; how far its clock is away; whether it gives a token."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from omnilab.client.answers import read_grant, trouble_of
from omnilab.client.bookings import WHOAMI_PATH, list_target
from omnilab.client.codes import UNREADABLE
from omnilab.client.doctor.findings import Finding, failed, passed, skipped
from omnilab.client.doctor.remedies import REMEDIES, remedy_of
from omnilab.client.doctor.route import Route, clock_finding, skew_of
from omnilab.client.effects import Answer, Failure, Flow, Send
from omnilab.client.errors import Trouble
from omnilab.client.hidden import Hidden
from omnilab.client.settings import Settings
from omnilab.client.threads import ThreadDoor
from omnilab.client.token_source import TOKEN_PATH, token_request

_TITLE = re.compile(rb"<title[^>]*>([^<]{1,80})", re.IGNORECASE)
#: A contact that nobody has: the platform answers with an empty list.
NOBODY = "omnilab-doctor"


class Platform:
    """The platform at the end of a route, asked through the SDK's own connections."""

    def __init__(self, settings: Settings, route: Route, wall_clock: Callable[[], float]) -> None:
        self._settings = settings
        self._route = route
        self._wall_clock = wall_clock
        self._door = ThreadDoor(settings)
        self.milliseconds: list[float] = []

    def close(self) -> None:
        """Close its connections."""
        self._door.close()

    def answers(self) -> list[Finding]:
        """Whether OmniLab answers, and what its clock says. Sends no credential."""
        began = self._wall_clock()
        outcome = self._ask("GET", WHOAMI_PATH)
        middle = (began + self._wall_clock()) / 2
        if isinstance(outcome, Failure):
            return [self._nothing_usable(outcome)]
        trouble = trouble_of(outcome)
        if trouble.code != "token_missing" or not trouble.request_id:
            return [self._something_else(outcome, trouble)]
        skew = skew_of(outcome.headers.get("date", ""), middle)
        found = passed("platform", f"OmniLab answers at {self._settings.base_url}", milliseconds=self.milliseconds[-1])
        return [
            found,
            clock_finding(skew) if skew is not None else passed("clock", "the answer has no Date to compare"),
        ]

    def token(self, secret: Hidden[str]) -> tuple[Hidden[str] | None, list[Finding]]:
        """A token, or whose fault it is that there is none."""
        outcome = self._ask("POST", TOKEN_PATH, body=token_request(self._settings, secret))
        grant = read_grant(outcome) if isinstance(outcome, Answer) and outcome.status == 200 else None
        if grant is not None:
            token, lifetime = grant
            words = f"obtained, good for {lifetime:g} s"
            return token, [passed("token", words, milliseconds=self.milliseconds[-1])]
        trouble = trouble_of(outcome, secret)
        remedy = remedy_of(trouble)
        found = failed(remedy.check, trouble.code, told(trouble), remedy.fix)
        return None, [found] if remedy.check == "token" else [found, skipped("token", remedy.check)]

    def call(self, token: Hidden[str], target: str = WHOAMI_PATH) -> Answer | Failure:
        """One call of the API."""
        return self._ask("GET", target, token=token)

    def probe(self, token: Hidden[str]) -> Trouble | None:
        """What a list says to this token, None for bookings (none, most likely)."""
        outcome = self.call(token, list_target(NOBODY, {"page_size": 1}, 1))
        return None if isinstance(outcome, Answer) and outcome.status == 200 else trouble_of(outcome, token)

    def _ask(
        self, method: str, target: str, *, token: Hidden[str] | None = None, body: Hidden[bytes] | None = None
    ) -> Answer | Failure:
        deadline = self._settings.clock.now() + self._settings.timeout_seconds

        def once() -> Flow[Answer | Failure]:
            outcome: Answer | Failure = yield Send(method, target, deadline=deadline, token=token, body=body)
            return outcome

        began = time.perf_counter()
        outcome = self._door.run(once())
        self.milliseconds.append(round((time.perf_counter() - began) * 1000, 1))
        return outcome

    def _nothing_usable(self, failure: Failure) -> Finding:
        if not self._route.is_tls and self._route.speaks_tls():
            return self._tls_expected()
        found = f"The connection is there, and no answer comes: {failure.words}"
        fix = "Ask whoever runs the host, or what stands before it, whether the service behind it is up."
        return failed("platform", "no_answer", found, fix)

    def _tls_expected(self) -> Finding:
        found = f"{self._route.host}:{self._route.port} speaks TLS, and base_url says plain http."
        return failed("tls", "tls_expected", found, "Write https:// at the beginning of base_url.")

    def _something_else(self, answer: Answer, trouble: Trouble) -> Finding:
        """Not OmniLab, or not this OmniLab's host."""
        if trouble.code in REMEDIES and trouble.code != UNREADABLE:
            return failed("platform", trouble.code, told(trouble), REMEDIES[trouble.code].fix)
        if not self._route.is_tls and answer.status == 400 and self._route.speaks_tls():
            return self._tls_expected()
        if 300 <= answer.status < 400:
            to = answer.headers.get("location", "nowhere").partition("?")[0][:120]
            found = f"Something at {self._settings.base_url} redirects to {to} instead of answering."
            fix = "Set base_url to where the platform itself is. None is followed: it would carry the secret elsewhere."
            return failed("platform", "redirected", found, fix)
        kind = answer.headers.get("content-type", "no media type").partition(";")[0][:60]
        server, title = answer.headers.get("server", ""), _TITLE.search(answer.body[:4096])
        words = [f"status {answer.status}", kind, *([f"server {server[:40]}"] if server else [])]
        words += [f"titled “{title[1].decode('utf-8', 'replace').strip()}”"] if title else []
        found = f"What answers at {self._settings.base_url} is not OmniLab: {', '.join(words)}."
        fix = "Compare base_url with the one handed over. If it is right, a proxy or a log-in page stands between."
        return failed("platform", "not_omnilab", found, fix)


def told(trouble: Trouble) -> str:
    """The platform's own words, with the id it finds the request by."""
    words = trouble.detail.rstrip(".") + "."
    return words if trouble.request_id is None else f"{words} (request id {trouble.request_id})"
