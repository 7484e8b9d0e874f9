"""Calls that a page of ours makes, and no page of anybody else may."""

from __future__ import annotations

from omnilab.errors import RequestError
from omnilab.web.exchange import Exchange


def refuse_other_sites(exchange: Exchange, detail: str) -> None:
    """Raises RequestError with this detail where a browser says that another site's page asks (`Sec-Fetch-Site`)."""
    if exchange.header(b"sec-fetch-site") in (None, b"same-origin"):
        return
    raise RequestError(
        "request_malformed",
        detail,
        check="parameters",
        expected="Sec-Fetch-Site: same-origin, or none",
        found="another site's page",
    )
