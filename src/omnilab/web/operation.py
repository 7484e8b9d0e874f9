"""One call of the HTTP surface, described once: routing, the gate, the API document and the metrics read this.

Knows nothing of what a call does; the houses' `routes.py` make the operations.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from omnilab.web.exchange import Exchange

Handler = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method on an exact path.

    method: upper case; a GET operation that is not protected answers HEAD too.
    path: exact, with a plain `:`.
    operation_id: the call name (`fetchContactBookings`), unique.
    endpoint: the grant it needs (`bookings:read`), None for none.
    protected: an access token is needed; `exchange.caller` is then set before the handler runs.
    error_format: `oauth` for RFC 6749 §5.2 objects, `problem` for RFC 9457.
    durable_refusals: a refusal is answered only after its audit record is durable.
    parameters: msgspec Struct of the query string; body: Struct of the JSON body; answers: status → type.
    leads_to: operation id → its fields that come from this call's answer; links of the API document.
    refusals: the codes a caller may meet, for the API document; those of the gate are added by themselves.
    hidden: answered, but left out of the API document (aliases).
    any_host: answered whatever the `Host` header says (health checks come by address).
    """

    method: str
    path: str
    operation_id: str
    handler: Handler
    summary: str
    endpoint: str | None = None
    protected: bool = False
    error_format: Literal["problem", "oauth"] = "problem"
    durable_refusals: bool = False
    description: str = ""
    tag: str = ""
    parameters: type | None = None
    body: type | None = None
    body_media_types: tuple[str, ...] = ("application/json",)
    idempotent_by_key: bool = False
    answers: Mapping[int, Any] = field(default_factory=dict)
    leads_to: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    hidden: bool = False
    any_host: bool = False
