"""Request ids of answers that a proxy in front of us made by itself: what they tell of what became of the request.

`deploy/nginx` makes them: `edge-<status>-<seconds since 1970>.<milliseconds>-<32 hex digits>`. `edge-` and the digits
are what the proxy hands us as the caller's own request id, so that a request that reached us all the same is found.
Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_EDGE_ID = re.compile(r"edge-([1-5][0-9]{2})-([0-9]{1,12})\.([0-9]{3})-([0-9a-f]{32})")
# How long before its answer a request can have come in, and how much clocks may differ (ms).
WINDOW_MS = 120_000

# status → whether it may have reached us, what happened, what to do.
_TOLD = {
    400: (False, "The request was no well-formed HTTP.", "Look at how the caller builds it; a library does it right."),
    403: (False, "The request came by plain HTTP.", "Use https. A secret that was sent this way must be replaced."),
    408: (False, "The request did not arrive whole in time.", "Look at the caller's network; send it again."),
    413: (False, "The body was larger than 16 KiB.", "Send a smaller body."),
    414: (False, "The address was too long.", "Send fewer or shorter parameters."),
    429: (False, "Too many requests came from this address at once.", "Use fewer connections, and wait a second."),
    431: (False, "The headers were too large.", "Send fewer or shorter headers."),
    502: (True, "The node closed the connection, or there was none.", "See the nodes' logs; repeat with the same key."),
    503: (True, "No node could take the request.", "See whether the nodes are ready (/readyz); repeat it."),
    504: (
        True,
        "The node did not answer in time.",
        "See the nodes' logs; repeat writes with the same Idempotency-Key.",
    ),
}
_OTHER = (False, "The proxy answered by itself.", "Look in the proxy's log for this id.")


@dataclass(frozen=True, slots=True)
class EdgeAnswer:
    """An answer of the proxy. at_ms: when it was made; caller_request_id: under which the request may have reached us,
    None where it cannot have."""

    status: int
    at_ms: int
    caller_request_id: str | None
    meaning: str
    fix: str


def read_edge_id(text: str) -> EdgeAnswer | None:
    """What such an id tells, or None where it is none."""
    found = _EDGE_ID.fullmatch(text)
    if found is None:
        return None
    status = int(found[1])
    may_have_reached, meaning, fix = _TOLD.get(status, _OTHER)
    at_ms = int(found[2]) * 1000 + int(found[3])
    return EdgeAnswer(status, at_ms, f"edge-{found[4]}" if may_have_reached else None, meaning, fix)
