"""What each check of a decision expects, in plain words: pure data for people who read a trace.

The names and their order are `omnilab.codes.CHECKS`; a test holds the two equal.
"""

from __future__ import annotations

EXPECTED: dict[str, str] = {
    "host": "a host that OmniLab serves",
    "route": "a known path",
    "method": "a method that this path takes",
    "media_type": "a Content-Type that this call takes",
    "body": "a body that can be read, of at most 16 KiB",
    "parameters": "every required parameter, each once, each with a valid value",
    "grant_type": "grant_type client_credentials",
    "browser": "a backend: no Origin and no Sec-Fetch-Site header",
    "authentication_methods": "one way of authentication, in the body or in Basic",
    "credential_text": "a whole client secret of this environment, as it was handed over",
    "credential": "a known client_id with one of its secrets",
    "tenant_host": "the host of the client's own tenant, or the platform's host",
    "secret_expiry": "a secret that has not expired",
    "secret_revocation": "a secret that is not revoked",
    "client_status": "a client that is enabled",
    "tenant_status": "a tenant that is active",
    "address": "an address this client may call from",
    "failed_authentications": "few failed authentications from this address",
    "quota": "a rate within the quotas of client and tenant",
    "audience": "an audience of this client",
    "scope": "endpoints granted to this client, or no scope at all",
    "token_presented": "one access token in the Authorization header",
    "token_form": "a JWT access token (typ at+jwt)",
    "token_signature": "a signature by one of our signing keys",
    "token_type": "an access token (typ at+jwt)",
    "token_issuer": "a token of this environment's issuer",
    "token_audience": "a token for this API's audience",
    "token_time": "a token within its lifetime",
    "token_revocation": "a token whose secret is not revoked",
    "token_scope": "a token issued with this endpoint",
    "grant": "an endpoint grant of this client for the call",
    "entitlement": "an entitlement of the tenant to the endpoint",
    "idempotency": "an Idempotency-Key that is new, or repeats the same request",
    "link": "a link with its claim, neither opened nor ended",
    "state": "a booking, slot or contact whose state allows the call",
}


def expected_of(check: str) -> str:
    """What a check expects; a name that is not ours is said as it is."""
    return EXPECTED.get(check, check.replace("_", " "))
