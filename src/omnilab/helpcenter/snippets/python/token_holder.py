"""OmniLab from Python with httpx: one token for all threads, kept until 80 % of its life, renewed once after a 401."""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import Any

import httpx

ATTEMPTS, LONGEST_WAIT_SECONDS = 3, 30


class ApiError(Exception):
    """A refusal. Its text is safe to log: it holds no token, no secret and no address with a contact's id."""


class OmniLab:
    def __init__(self) -> None:
        self._http = httpx.Client(base_url=os.environ["OMNILAB_BASE_URL"], timeout=10)
        self._lock = threading.Lock()
        self._token, self._renew_at = "", 0.0

    def list_bookings(self, external_id: str, page_number: int = 1) -> Any:
        query = {"external_id": external_id, "page_number": page_number}
        return self._call("GET", "/v1/interactions:fetchContactBookings", params=query)

    def cancel_booking(self, external_id: str, booking_id: str) -> Any:
        body = {"external_id": external_id, "booking_id": booking_id}
        key = {"Idempotency-Key": str(uuid.uuid4())}  # what makes it safe to send the call again
        return self._call("POST", "/v1/interactions:cancelContactBooking", json=body, headers=key)

    def _call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **request: Any) -> Any:
        refused = None
        while True:
            token = self._current_token(refused)
            bearer = {"Authorization": f"Bearer {token}"}
            answer = self._send(method, path, headers=bearer | (headers or {}), **request)
            if answer.status_code != 401 or refused is not None:
                return _document(answer)
            refused = token  # one retry with a new token, never two

    def _current_token(self, refused: str | None) -> str:
        with self._lock:  # the first one in fetches, the others find what it brought
            if self._token == refused or time.monotonic() >= self._renew_at:
                self._fetch()
            return self._token

    def _fetch(self) -> None:
        body = {
            "client_id": os.environ["OMNILAB_CLIENT_ID"],
            "client_secret": os.environ["OMNILAB_CLIENT_SECRET"],
            "audience": os.environ["OMNILAB_AUDIENCE"],
            "grant_type": "client_credentials",
        }
        asked = time.monotonic()
        answer = _document(self._send("POST", "/v1/oauth:token", json=body))
        self._token, self._renew_at = answer["access_token"], asked + 0.8 * answer["expires_in"]

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        attempt = 1
        while True:
            answer = self._http.request(method, path, **request)
            wait = int(answer.headers.get("Retry-After", "1"))
            if answer.status_code not in (429, 503) or wait > LONGEST_WAIT_SECONDS or attempt == ATTEMPTS:
                return answer
            time.sleep(wait)
            attempt += 1


def _document(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    error = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
    code = error.get("code") or error.get("error")
    raise ApiError(f"{answer.status_code} {code}, request {answer.headers.get('X-Request-Id')}")
