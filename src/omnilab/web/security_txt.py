"""`/.well-known/security.txt` (RFC 9116): whom to tell of a weakness. There only where the operators named somebody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from omnilab.clock import Clock

PATH = "/.well-known/security.txt"
# RFC 9116 §2.5.5 wants less than a year: who still reads a file that a dead service left behind should notice.
_VALID = timedelta(days=180)


def security_pages(contact: str | None, public_url: str, clock: Clock) -> list[Route]:
    """The route of the file, or none. contact: `mailto:…` or an https URL. public_url: without trailing slash."""
    if contact is None:
        return []

    async def answer(_: Request) -> Response:
        today = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        expires = (today + _VALID).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines = [
            f"Contact: {contact}",
            f"Expires: {expires}",
            "Preferred-Languages: en",
            f"Canonical: {public_url}{PATH}",
        ]
        return PlainTextResponse("\n".join(lines) + "\n", headers={"Cache-Control": "public, max-age=3600"})

    return [Route(PATH, answer, name="security_txt")]
