"""The named steps of a decision, in order.

Promises that a refusal can be told step by step: all before the failed one passed, later ones were not reached.
Pure data; whoever raises an error names its step (`OmniLabError.check`).
"""

from __future__ import annotations

CHECKS: dict[str, tuple[str, ...]] = {
    "token": (
        "host",
        "method",
        "media_type",
        "body",
        "parameters",
        "grant_type",
        "browser",
        "authentication_methods",
        "credential_text",
        "credential",
        "tenant_host",
        "secret_expiry",
        "secret_revocation",
        "client_status",
        "tenant_status",
        "address",
        "failed_authentications",
        "quota",
        "audience",
        "scope",
    ),
    "api": (
        "host",
        "route",
        "method",
        "token_presented",
        "token_form",
        "token_signature",
        "token_type",
        "token_issuer",
        "token_audience",
        "token_time",
        "tenant_host",
        "tenant_status",
        "client_status",
        "token_revocation",
        "quota",
        "grant",
        "entitlement",
        "token_scope",
        "media_type",
        "body",
        "parameters",
        "idempotency",
        "state",
    ),
}
