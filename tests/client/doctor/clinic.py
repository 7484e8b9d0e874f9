"""A platform with clients in every state, and what the doctor says of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from tests.client.doctor.fronts import Authority, answering, listening, piping_to
from tests.harness import CommandLine, Credentials, Omnilab, Server

DOMAIN = "omni.test"
EVERY = ("bookings:read", "bookings:cancel", "bookings:create")


@dataclass
class Clinic:
    """A served development installation with tenants of its own hosts, and clients in each state."""

    omnilab: Omnilab
    server: Server
    run: CommandLine
    authority: Authority
    stranger: Authority
    good: Credentials
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def port(self) -> int:
        return self.omnilab.port

    def client(self, *options: str, tenant: str = "acme", allow: tuple[str, ...] = EVERY) -> Credentials:
        grants = [word for endpoint in allow for word in ("--allow", endpoint)]
        made = self.run.run("clients", "create", "--tenant", tenant, "--name", "Backend", *grants, *options)
        members = ("client_id", "client_secret", "secret_id", "audience", "base_url", "token_url", "issuer")
        return Credentials(tenant=tenant, allowed=tuple(made["allowed"]), **{name: made[name] for name in members})

    def tls(self, authority: Authority, name: str = "localhost", **times: timedelta) -> str:
        """The platform behind TLS; its base URL."""
        port = self.stack.enter_context(listening(piping_to(self.port), authority.context(name, **times)))
        return f"https://localhost:{port}"

    def instead(self, *answer: str, **headers: str) -> str:
        """Something in the platform's place; its base URL."""
        return f"http://127.0.0.1:{self.stack.enter_context(listening(answering(*answer, **headers)))}"


class Told(NamedTuple):
    code: int
    report: dict[str, Any]
    text: str

    @property
    def cause(self) -> tuple[str, str] | None:
        cause = self.report["cause"]
        return None if cause is None else (cause["check"], cause["code"])

    def of(self, status: str) -> list[str]:
        return [each["check"] for each in self.report["checks"] if each["status"] == status]


Ask = Callable[..., Told]


class Fault(NamedTuple):
    """What is wrong: changes to the environment, and what the doctor is to say."""

    environ: Callable[[Clinic], dict[str, str | None]]
    check: str
    code: str


def setting(name: str, change: Callable[[Clinic], str | None]) -> Callable[[Clinic], dict[str, str | None]]:
    return lambda clinic: {f"OMNILAB_{name}": change(clinic)}
