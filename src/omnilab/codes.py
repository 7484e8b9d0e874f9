"""The closed list of public error codes.

Promises that every code a caller can meet has plain words: what it means, what to do, whether a new token
helps and whether the same request may be sent again. The help pages, the audit look-up and the API document
read this list; HTTP statuses are not known here (they stand in `omnilab/web/problems.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from omnilab.checks import CHECKS

__all__ = ["CHECKS", "CODES", "Code"]


@dataclass(frozen=True, slots=True)
class Code:
    """One public code. `new_token_helps`: once, after a 401/403. `retry`: the same request may be sent again."""

    code: str
    title: str
    meaning: str
    fix: str
    new_token_helps: bool = False
    retry: bool = False


_REQUEST = (
    Code(
        "request_malformed",
        "The request cannot be read",
        "The request is not well formed: broken JSON, a field or header given twice, broken percent-encoding, "
        "an access token in the query string or in the body, or a body in another character set than UTF-8.",
        "Look at `detail`, which names the place. Build the body with a JSON library and the URL with a URL "
        "library, send UTF-8, and put the access token in one `Authorization: Bearer …` header and nowhere else.",
    ),
    Code(
        "parameter_unknown",
        "A parameter is not known",
        "The request has a query parameter or JSON field that this call does not know. It is refused rather than "
        "ignored, because a misspelt filter that is ignored would return the wrong bookings.",
        "`errors` names each unknown parameter and the nearest known one. Correct the spelling or leave it out.",
    ),
    Code(
        "parameter_invalid",
        "A parameter has a wrong value",
        "A parameter is missing, empty, given twice, of the wrong type or outside its range.",
        "`errors` has one entry for each bad parameter and says what is expected. Leave an optional parameter out "
        "instead of sending it empty.",
    ),
    Code(
        "parameter_missing",
        "A required parameter is missing",
        "The token request lacks a parameter, or has it empty, which counts as missing.",
        "Send `client_id`, `client_secret`, `audience` and `grant_type` with the values handed over by OmniLab.",
    ),
    Code(
        "parameter_repeated",
        "A parameter is given twice",
        "The token request has the same parameter more than once, so it is not clear which value is meant "
        "(RFC 6749 section 3.2).",
        "Send each parameter once. A parameter in both the query string and the body is a common cause.",
    ),
    Code(
        "body_too_large",
        "The body is too large",
        "The body of a request may have at most 16 KiB (16,384 bytes).",
        "Send only the documented fields. No call needs more.",
    ),
    Code(
        "media_type_unsupported",
        "The media type is not supported",
        "The `Content-Type` of the body is missing, is another one than this call reads, or names another "
        "character set than UTF-8.",
        "Send `Content-Type: application/json`. The token call also reads `application/x-www-form-urlencoded`.",
    ),
    Code(
        "not_found",
        "There is nothing at this address",
        "The path belongs to no call. Paths are exact: upper and lower case count, and a slash at the end or a "
        "double slash makes another path.",
        "Compare the path with the API reference. `base_url` has no `/v1`; each path begins with `/v1/`.",
    ),
    Code(
        "method_not_allowed",
        "The method is not allowed",
        "The path is right, but the call is made with another HTTP method.",
        "Use a method that the `Allow` header of the answer names. An HTTP client that follows a redirect can turn "
        "POST into GET: call the address directly.",
    ),
    Code(
        "host_unknown",
        "This host is not served here",
        "The `Host` header names neither the platform's public host nor a tenant's host. Most often a reverse "
        "proxy replaces the header with its own upstream name.",
        "Let the proxy pass the caller's host on. In nginx: `proxy_set_header Host $host;`. Callers use the "
        "`base_url` handed over with their credentials.",
    ),
)

_TOKEN_REQUEST = (
    Code(
        "two_authentication_methods",
        "Two authentication methods in one request",
        "The client's credentials came in the `Authorization: Basic` header and in the body as well "
        "(RFC 6749 section 2.3 allows one).",
        "Send the credentials in one place. In an OAuth library choose `client_secret_basic` or "
        "`client_secret_post`, not both.",
    ),
    Code(
        "browser_request",
        "The token request came from a browser",
        "The request carries `Origin` or `Sec-Fetch-Site`, which only browsers send. A client secret must never be "
        "in a browser, a kiosk page or an app bundle. If the secret was right it is now marked as exposed.",
        "Ask for tokens from your own backend only. Have OmniLab add a new secret, move to it, and revoke the one "
        "that was in the browser. If no browser is involved, stop your HTTP client from sending these headers.",
    ),
    Code(
        "resource_mismatch",
        "`audience` and `resource` differ",
        "`resource` (RFC 8707) is another name for `audience`. Both came, with different values.",
        "Send one of them, or the same value in both.",
    ),
    Code(
        "audience_missing",
        "The audience is missing",
        "The request does not say which API the token is for, and the client has no single audience to fall back "
        "on. In JSON requests `audience` is always required.",
        "Send `audience` with the value handed over with the credentials.",
    ),
    Code(
        "grant_type_unsupported",
        "The grant type is not supported",
        "The token call knows one grant type: `client_credentials`.",
        "Send `grant_type` = `client_credentials`.",
    ),
    Code(
        "audience_unknown",
        "The audience is not this client's",
        "The audience is unknown, or it is not one of those this client was set up for. Both get the same answer.",
        "Compare `audience` letter by letter with the value handed over with the credentials, the scheme and a "
        "slash at the end included. If you need another audience, ask OmniLab to add it to the client.",
    ),
    Code(
        "scope_not_granted",
        "The scope asked for is not granted",
        "`scope` may narrow a token to a part of what the client is granted. It names something unknown, not "
        "granted, or of another audience.",
        "Leave `scope` out to get everything that is granted, or ask OmniLab to enable the endpoint.",
    ),
    Code(
        "client_not_allowed_grant",
        "The client may not use this grant type",
        "The client exists and proved itself, but it was not set up for this grant type.",
        "Ask OmniLab to check how the client was provisioned.",
    ),
)

_CREDENTIAL = (
    Code(
        "credential_missing",
        "No client credentials",
        "The token request carries no client secret, neither in the body nor in an `Authorization: Basic` header.",
        "Send `client_id` and `client_secret`. An empty environment variable in the caller's deployment is the "
        "usual cause.",
    ),
    Code(
        "client_authentication_failed",
        "The client id or the secret is wrong",
        "There is no such client, or the secret is not one of its secrets. Both get the same answer, so that "
        "nobody can find out which client ids exist.",
        "Check that `client_id` and `client_secret` belong together, to this environment and to this host. "
        "If the secret is lost, have OmniLab add a new one: it is shown only once.",
    ),
    Code(
        "secret_mistyped",
        "The secret is mistyped",
        "The secret's own checksum does not fit its text: a character was changed, lost or swapped on the way.",
        "Copy the secret again from where it was stored. Look for quotes, a line break or an escaped character "
        "around it. Nothing is wrong with the client itself.",
    ),
    Code(
        "secret_cut_off",
        "The secret is cut off",
        "The secret is shorter or longer than a secret is: it was cut off or something was added to it.",
        "Copy the whole secret again. Check the length limit of the field or variable it is stored in.",
    ),
    Code(
        "secret_wrong_environment",
        "The secret belongs to another environment",
        "The secret says which environment it is for (`dev`, `stg` or `prd`), and it is not this one. Credentials "
        "never work across environments.",
        "Use the credentials of this environment, or call the base URL of the environment the secret belongs to.",
    ),
    Code(
        "secret_expired",
        "The secret has expired",
        "The secret was right, but its date of expiry has passed. Tokens issued before stay valid until they end.",
        "Use the newer secret of the client. If there is none, have OmniLab add one, then move the callers to it.",
    ),
    Code(
        "secret_revoked",
        "The secret was revoked",
        "The secret was right, but OmniLab has revoked it. Revoking is final.",
        "Use the client's current secret. If a caller still has the old one, it was missed in the rotation: "
        "replace it there.",
    ),
    Code(
        "address_not_allowed",
        "The caller's address is not allowed",
        "The secret or the token was right, but the client may be used from certain network addresses only, and the "
        "request came from another one. Tokens and API calls have a list each.",
        "Call from the agreed address, or ask OmniLab to add the new one. A changed proxy or NAT gateway is the "
        "usual cause.",
    ),
    Code(
        "tenant_host_mismatch",
        "The host belongs to another tenant",
        "The secret was right, but the token was asked for on another tenant's host.",
        "Use the `token_url` handed over with the credentials; `error_description` names it.",
    ),
    Code(
        "client_disabled",
        "The client is disabled",
        "OmniLab has disabled this client. It gets no tokens, and the tokens it has are refused.",
        "Ask OmniLab why it was disabled. Once it is enabled again, unexpired tokens work again.",
    ),
    Code(
        "tenant_suspended",
        "The tenant is suspended",
        "The tenant's access is suspended, so none of its clients gets or can use a token.",
        "Ask OmniLab about the state of the account. Once it is restored, unexpired tokens work again.",
    ),
)

_ACCESS_TOKEN = (
    Code(
        "token_missing",
        "No access token",
        "The call needs an access token, and the request has no `Authorization: Bearer …` header.",
        "Get a token from `POST /v1/oauth:token` and send it as `Authorization: Bearer <token>`. Some proxies and "
        "redirects drop the header.",
    ),
    Code(
        "token_malformed",
        "The access token cannot be accepted",
        "What was sent as a token is not a valid access token of this environment: not a token at all, cut off, "
        "changed, signed by an unknown key, or of another issuer.",
        "Send the `access_token` exactly as the token call returned it. Check that it was asked for in the same "
        "environment as the call. The client secret is not a token.",
    ),
    Code(
        "token_expired",
        "The access token has expired",
        "Tokens live for a limited time (`expires_in`, in seconds, in the token answer).",
        "Get a new token and repeat the call once. Renew shortly before expiry; check the clock of the machine.",
        new_token_helps=True,
    ),
    Code(
        "token_revoked",
        "The access token was revoked",
        "The token itself, or the secret that it was issued for, has been revoked: it is dead before its time.",
        "Get a new token with the client's current secret and repeat the call once.",
        new_token_helps=True,
    ),
    Code(
        "audience_mismatch",
        "The access token is for another API",
        "A token is for one audience, and this call belongs to another one.",
        "Ask for a token with the audience of the API you call.",
    ),
    Code(
        "tenant_mismatch",
        "The access token belongs to another tenant",
        "The host of the call belongs to one tenant and the token to another.",
        "Use the `base_url` handed over with the credentials, or the credentials of the tenant you want to reach.",
    ),
    Code(
        "endpoint_not_enabled",
        "This endpoint is not enabled for the client",
        "The client proved itself, but it has no grant for this endpoint, or the tenant is not entitled to it.",
        "Ask OmniLab to enable the endpoint. `GET /v1/oauth:whoami` lists what is enabled. A new token does not help.",
    ),
    Code(
        "token_predates_grant",
        "The token does not carry this endpoint",
        "The endpoint is enabled for the client, but the token was issued before that, or with a narrower `scope`.",
        "Get a new token without `scope`, and repeat the call once.",
        new_token_helps=True,
    ),
)

_STATE = (
    Code(
        "booking_not_found",
        "There is no such booking",
        "No booking with this id belongs to this contact. A booking of another contact gets the same answer.",
        "Check `booking_id` and `external_id` against the list of the contact's bookings.",
    ),
    Code(
        "booking_already_cancelled",
        "The booking is already cancelled",
        "The booking was cancelled before; nothing was changed now.",
        "Treat it as done. To repeat a cancel safely after a network error, send an `Idempotency-Key`.",
    ),
    Code(
        "booking_checked_in",
        "The contact has already checked in",
        "A booking cannot be cancelled after check-in. Only `CONFIRMED` and `WAITLISTED` bookings can be.",
        "Nothing can be done through the API. Show the contact that the booking was used.",
    ),
    Code(
        "booking_exists",
        "A booking with this id exists",
        "The `booking_id` of the request is taken by another booking.",
        "Leave `booking_id` out to have one made, or send an `Idempotency-Key` to repeat a create safely.",
    ),
    Code(
        "slot_full",
        "The slot is full",
        "All places of the slot are taken.",
        "Offer another slot. A place comes free when a booking is cancelled.",
    ),
    Code(
        "slot_mismatch",
        "The slot is known with other data",
        "A `slot_id` stands for one event, one time and one capacity, and the request says otherwise.",
        "Send the event, the times and the capacity the slot was first booked with, or another `slot_id`.",
    ),
    Code(
        "idempotency_in_progress",
        "The first request with this key is not finished",
        "A request with the same `Idempotency-Key` is still being worked on.",
        "Wait for the time in `Retry-After` and send the same request again: you get the first answer.",
        retry=True,
    ),
    Code(
        "idempotency_key_reused",
        "The idempotency key was used for another request",
        "The `Idempotency-Key` was used before by this client, for this call, with another body.",
        "Use a new key for each new intention, and the same key only to repeat the very same request.",
    ),
)

_TOKEN_CALLS = (
    Code(
        "token_type_unsupported",
        "There are only access tokens here",
        "The call to revoke a token named another type of token than an access token. OmniLab issues no others.",
        "Send the access token, and leave `token_type_hint` out or set it to `access_token`.",
    ),
)

_LIMITS = (
    Code(
        "quota_exceeded",
        "Too many calls",
        "The client, or all clients of the tenant together, made more calls than the quota allows.",
        "Wait for the time in `Retry-After`, in seconds, then go on. Spread bulk work; ask OmniLab for a higher "
        "quota if the load is planned.",
        retry=True,
    ),
    Code(
        "token_quota_exceeded",
        "Too many tokens",
        "The client, or all clients of the tenant together, asked for more tokens than the quota allows.",
        "Keep a token and use it until shortly before it expires instead of getting one for each call. Share it "
        "among the processes of your service. Wait for the time in `Retry-After` before the next attempt.",
        retry=True,
    ),
    Code(
        "too_many_failed_authentications",
        "Too many failed attempts",
        "There were so many wrong credentials from this address that further wrong ones are not examined for a "
        "while. A right secret is answered all the same.",
        "Stop the caller that uses a wrong secret, correct the secret, then wait for the time in `Retry-After`.",
        retry=True,
    ),
    Code(
        "temporarily_unavailable",
        "The service cannot answer right now",
        "No decision could be made, so nothing was done and nothing was changed. Only where the answer says that it "
        "cannot tell, because the database's own answer was lost, may a write have been done.",
        "Send the same request again after the time in `Retry-After`. With an `Idempotency-Key` a write can be "
        "repeated safely.",
        retry=True,
    ),
)

#: Every public code, in the order in which a request meets them.
CODES: dict[str, Code] = {
    code.code: code
    for code in (*_REQUEST, *_TOKEN_REQUEST, *_CREDENTIAL, *_ACCESS_TOKEN, *_STATE, *_TOKEN_CALLS, *_LIMITS)
}
