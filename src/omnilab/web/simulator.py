"""`OmniLab-Simulate`: in development any call answers with the error its caller wants to try.

Nothing is decided and nothing done: the error stands in the call's place. Elsewhere nobody makes a simulator, and the
header is one of many that are ignored.
"""

from __future__ import annotations

import asyncio

from omnilab.errors import (
    ConflictError,
    CredentialError,
    LimitError,
    OmniLabError,
    RequestError,
    TokenRefusedError,
    UnavailableError,
)
from omnilab.web.exchange import Exchange

HEADER = b"omnilab-simulate"
# Longer than clients commonly wait, so that they meet their own timeout.
TIMEOUT_SECONDS = 60.0
_KNOWN = (b"401", b"429", b"503", b"timeout", b"slot_full")
_DETAIL = "Simulated, because the request says OmniLab-Simulate: {}. Nothing was decided or done."


def _error(asked: bytes, *, oauth: bool) -> OmniLabError:
    detail, reason = _DETAIL.format(asked.decode()), f"simulated by OmniLab-Simulate: {asked.decode()}"
    if asked == b"401":
        if oauth:
            return TokenRefusedError("client_authentication_failed", detail, reason=reason)
        return CredentialError("token_expired", detail, reason=reason)
    if asked == b"429":
        code = "token_quota_exceeded" if oauth else "quota_exceeded"
        return LimitError(code, detail, reason=reason, retry_after_seconds=1)
    if asked == b"slot_full":
        if oauth:
            return RequestError("request_malformed", f"No slot_full from this call. {detail}", reason=reason)
        return ConflictError("slot_full", detail, reason=reason)
    return UnavailableError(reason)


async def simulate(exchange: Exchange) -> None:
    """Raises the error that the request asks for by its header; returns where it asks for none."""
    asked = exchange.header(HEADER)
    if asked is None:
        return
    if asked not in _KNOWN:
        known = ", ".join(name.decode() for name in _KNOWN)
        raise RequestError("request_malformed", f"OmniLab-Simulate must be one of {known}.")
    if asked == b"timeout":
        await asyncio.sleep(TIMEOUT_SECONDS)
    operation = exchange.operation
    raise _error(asked, oauth=operation is not None and operation.error_format == "oauth")
