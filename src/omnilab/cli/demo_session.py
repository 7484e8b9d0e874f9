"""The curl session that the demo prints: pasted into bash as it stands, it leads from secret to cancelled booking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template


@dataclass(frozen=True, slots=True)
class Demo:
    """What the session speaks of. The clients are `clients create` objects; the contact is the first one's."""

    url: str
    client: Mapping[str, object]
    other_client: Mapping[str, object]
    external_id: str
    booking_ids: tuple[str, str]


# bash and curl alone: no jq, which not every machine has, and no `!`, which bash expands where it is pasted.
_SESSION = Template(
    r"""# Paste this into bash in another terminal; the server runs here.

BASE=$url
CLIENT_ID=$client_id
CLIENT_SECRET=$client_secret
AUDIENCE=$audience
JSON='Content-Type: application/json' SHOW='  [%{http_code}]\n'

# 1. A token: access_token, token_type and expires_in
ANSWER=$$(curl -sS "$$BASE/v1/oauth:token" -H "$$JSON" -d '{"client_id": "'$$CLIENT_ID'",
  "client_secret": "'$$CLIENT_SECRET'", "audience": "'$$AUDIENCE'", "grant_type": "client_credentials"}')
echo "$$ANSWER"
AUTH="Authorization: Bearer $$(echo "$$ANSWER" | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')"

# 2. What this client may do, and one contact's bookings: 200
curl -sS -w "$$SHOW" -H "$$AUTH" "$$BASE/v1/oauth:whoami"
LIST="$$BASE/v1/interactions:fetchContactBookings?external_id=$external_id"
curl -sS -w "$$SHOW" -H "$$AUTH" "$$LIST"

# 3. Cancel one: 200. The list then shows it CANCELLED, and a second cancel is 409 booking_already_cancelled
CANCEL="$$BASE/v1/interactions:cancelContactBooking"
BOOKING='{"external_id": "$external_id", "booking_id": "$first"}'
curl -sS -w "$$SHOW" -H "$$AUTH" -H "$$JSON" -d "$$BOOKING" "$$CANCEL"
curl -sS -w "$$SHOW" -H "$$AUTH" "$$LIST&booking_id=$first"
curl -sS -w "$$SHOW" -H "$$AUTH" -H "$$JSON" -d "$$BOOKING" "$$CANCEL"

# 4. Cancel another twice under one Idempotency-Key: the second answer is the first again, byte for byte
BOOKING='{"external_id": "$external_id", "booking_id": "$second"}'
KEY="Idempotency-Key: demo-$$(date +%s)"
FIRST=$$(curl -sS -w "$$SHOW" -H "$$AUTH" -H "$$JSON" -H "$$KEY" -d "$$BOOKING" "$$CANCEL")
SECOND=$$(curl -sS -w "$$SHOW" -H "$$AUTH" -H "$$JSON" -H "$$KEY" -d "$$BOOKING" "$$CANCEL")
echo "$$SECOND"
[ "$$FIRST" = "$$SECOND" ] && echo "replayed byte for byte"

# 5. Another tenant's client cannot touch it: 404 booking_not_found
ANSWER=$$(curl -sS "$$BASE/v1/oauth:token" -H "$$JSON" -d '{"client_id": "$other_client_id",
  "client_secret": "$other_client_secret",
  "audience": "$other_audience", "grant_type": "client_credentials"}')
OTHER="Authorization: Bearer $$(echo "$$ANSWER" | sed 's/.*"access_token": *"\([^"]*\)".*/\1/')"
curl -sS -w "$$SHOW" -H "$$OTHER" -H "$$JSON" -d "$$BOOKING" "$$CANCEL"
"""
)


def curl_session(demo: Demo) -> str:
    """The session as text."""
    own = {name: demo.client[name] for name in ("client_id", "client_secret", "audience")}
    other = {f"other_{name}": demo.other_client[name] for name in ("client_id", "client_secret", "audience")}
    first, second = demo.booking_ids
    return _SESSION.substitute(own | other, url=demo.url, external_id=demo.external_id, first=first, second=second)
