"""One running `omnilab serve`, seen from outside: its HTTP, its processes, what it wrote."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

READY_WITHIN_SECONDS = 30.0
STOPPED_WITHIN_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What `clients create` printed."""

    tenant: str
    client_id: str
    client_secret: str = field(repr=False)
    secret_id: str
    audience: str
    base_url: str
    token_url: str
    issuer: str
    allowed: tuple[str, ...]


@dataclass(slots=True)
class Server:
    """A server process with its workers on one loopback port. `http` keeps its connections between calls."""

    process: subprocess.Popen[bytes]
    url: str
    log_path: Path
    http: httpx.Client

    def token_answer(self, client: Credentials, **fields: str) -> httpx.Response:
        """The answer to the JSON form of the token request; `fields` replace or add members."""
        body = {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "audience": client.audience,
            "grant_type": "client_credentials",
        }
        return self.http.post("/v1/oauth:token", json=body | fields)

    def token(self, client: Credentials, **fields: str) -> str:
        answer = self.token_answer(client, **fields)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def list_bookings(self, token: str, external_id: str, **parameters: str | int) -> httpx.Response:
        query = {"external_id": external_id} | parameters
        return self.http.get("/v1/interactions:fetchContactBookings", params=query, headers=bearer(token))

    def cancel_booking(self, token: str, external_id: str, booking_id: str, **headers: str) -> httpx.Response:
        return self.http.post(
            "/v1/interactions:cancelContactBooking",
            json={"external_id": external_id, "booking_id": booking_id},
            headers=bearer(token) | headers,
        )

    def create_booking(self, token: str, **body: Any) -> httpx.Response:
        return self.http.post("/v1/interactions:createContactBooking", json=body, headers=bearer(token))

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for path in children for pid in path.read_text().split()]

    def kill(self) -> None:
        """`kill -9` of the parent; its workers are to die with it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOPPED_WITHIN_SECONDS)

    def stop(self) -> int:
        """SIGTERM, then the exit code. A server that was killed already counts as stopped."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(STOPPED_WITHIN_SECONDS)
            finally:
                if self.process.poll() is None:
                    self.kill()
        return 0 if self.process.returncode == -signal.SIGKILL else self.process.returncode

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log[-4000:]}")
            try:
                if self.http.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the server was not ready in {READY_WITHIN_SECONDS:.0f} s:\n{self.log[-4000:]}")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
